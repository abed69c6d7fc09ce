"""NCM: the class whose mean feature is nearest."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.api import (
    Backbone,
    CategoricalDistribution,
    Classifier,
    Predictor,
    Run,
    Settings,
    Space,
    StandardisedLinear,
    Strategy,
    Target,
    Task,
    hookimpl,
    restore,
    stand_in,
)
from harness_plugins.strategies._probe import class_means, probe_recipe, without_the_absent


class Stretched(nn.Module):
    """A head that stretches features to one length, once they are centred."""

    def __init__(self, head: StandardisedLinear) -> None:
        super().__init__()
        self.head = head

    def forward(self, features: Tensor) -> Tensor:
        seen = stretched(self.head.standardise(features))
        return F.linear(seen, self.head.weight, self.head.bias)


def stretched(features: Tensor) -> Tensor:
    """Features ``[n, D]`` in their directions, all of length √D: so long are standardised ones in
    the root of the mean of squares."""
    return F.normalize(features) * math.sqrt(features.shape[1])


@dataclass(frozen=True)
class Ncm(Strategy):
    """The class whose mean of the frozen, centred features is nearest: no step is taken.

    With ``metric = "cosine"`` all features are first brought to one length, so that only directions
    count, as in SimpleShot's "CL2N" (Wang et al. 2019).

    Logits are minus the squared distances, over ``2 √D``, where the mean square of the ``D``
    features is 1, and up to a constant for each input. They are not calibrated, but with this
    factor log loss is not far from it: on the 1,280 features that EfficientNet-Lite0 has of
    CIFAR-10 and MNIST, with 5 to 100 examples a class, it was 0.9 to 1.8 nats, and 16 to 57 with a
    factor of 1/2.
    """

    name: ClassVar[str] = "ncm"
    family: ClassVar[str] = "probes"
    citation: ClassVar[str] = "Mensink et al. 2013, Distance-based image classification"
    space: ClassVar[Space] = {"metric": CategoricalDistribution(["euclidean", "cosine"])}
    defaults: ClassVar[Settings] = {"metric": "cosine"}

    @torch.no_grad()
    def adapt(self, backbone: Backbone, task: Task, hp: Settings, run: Run) -> Predictor:
        model = Classifier(probe_recipe(backbone, task, run), task, run)
        head, cosine = model.head, hp["metric"] == "cosine"
        seen = head.standardise(model.features(task.train.inputs))
        seen = stretched(seen) if cosine else seen
        means, counts = class_means(seen, task.train.labels, task.classes)
        width = math.sqrt(means.shape[1])
        head.weight.copy_(means / width)
        head.bias.copy_(without_the_absent(-means.square().sum(1) / (2 * width), counts))
        return model.with_head(Stretched(head)) if cosine else model

    def restore(
        self, file: Path, backbone: Backbone, target: Target, hp: Settings, run: Run
    ) -> Predictor:
        task = stand_in(backbone, target)
        recipe = probe_recipe(backbone, task, run)
        if hp["metric"] == "cosine":
            assert isinstance(recipe.head, StandardisedLinear)
            recipe = replace(recipe, head=Stretched(recipe.head))
        return restore(file, recipe, task, run)


@hookimpl
def harness_strategies() -> list[type[Strategy]]:
    return [Ncm]
