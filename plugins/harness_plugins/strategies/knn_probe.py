"""k-NN probe: the nearest training examples vote."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from harness.api import (
    Backbone,
    CategoricalDistribution,
    Classifier,
    IntDistribution,
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
from harness_plugins.strategies._probe import probe_recipe

NEAREST = 1e-5
"""Of features whose mean square is 1, distances below are taken for this one: they may be all of
rounding."""


class Neighbours(nn.Module):
    """A head of features ``[b, D]`` that are centred, scaled and compared with those of ``n``
    examples, which are its buffers; logits ``[b, classes]`` are the logarithms of shares."""

    centre: Tensor
    scale: Tensor
    examples: Tensor
    labels: Tensor

    def __init__(
        self, frame: StandardisedLinear, examples: Tensor, labels: Tensor, hp: Settings
    ) -> None:
        super().__init__()
        tensors = {"centre": frame.centre, "scale": frame.scale}
        for name, tensor in {**tensors, "examples": examples, "labels": labels}.items():
            self.register_buffer(name, tensor)
        self.classes, self.hp = frame.out_features, hp

    def forward(self, features: Tensor) -> Tensor:
        queries = (features - self.centre) / self.scale
        distances = self._distances(queries.double(), self.examples.double())
        count = min(int(self.hp["k"]), len(self.labels))
        near, places = distances.topk(count, largest=False)
        weights = count * F.normalize(1 / near, p=1.0)
        # Not len(): an exported graph would have a number there, and take no other.
        votes = weights.new_zeros(features.shape[0], self.classes)
        votes.scatter_add_(1, self.labels[places], weights)
        return ((votes + 1 / self.classes) / (count + 1)).log()

    def _distances(self, queries: Tensor, examples: Tensor) -> Tensor:
        if self.hp["metric"] == "cosine":
            cosines = F.normalize(queries) @ F.normalize(examples).T
            return (1 - cosines).clamp_min(NEAREST**2)
        return torch.cdist(queries, examples).clamp_min(NEAREST)


@dataclass(frozen=True)
class KnnProbe(Strategy):
    """The ``k`` training examples whose frozen, centred features are nearest vote.

    Votes have weights inverse to distances, as with ``weights="distance"`` in scikit-learn.
    Distances are of the features, or one minus the cosine of the angle at the centre. Together the
    neighbours have ``k`` votes; one more is divided among all classes, so that no probability is
    zero. Logits are the logarithms of the shares. ``k`` is at most the number of examples.

    The predictor keeps the features of all training examples, and its file has them.
    """

    name: ClassVar[str] = "knn_probe"
    family: ClassVar[str] = "probes"
    citation: ClassVar[str] = "Cover & Hart 1967, Nearest neighbor pattern classification"
    space: ClassVar[Space] = {
        "k": IntDistribution(1, 100, log=True),
        "metric": CategoricalDistribution(["euclidean", "cosine"]),
    }
    defaults: ClassVar[Settings] = {"k": 10, "metric": "cosine"}

    @torch.no_grad()
    def adapt(self, backbone: Backbone, task: Task, hp: Settings, run: Run) -> Predictor:
        model = Classifier(probe_recipe(backbone, task, run), task, run)
        seen = model.head.standardise(model.features(task.train.inputs))
        return model.with_head(Neighbours(model.head, seen, task.train.labels, hp))

    def restore(
        self, file: Path, backbone: Backbone, target: Target, hp: Settings, run: Run
    ) -> Predictor:
        task = stand_in(backbone, target)
        recipe = probe_recipe(backbone, task, run)
        assert isinstance(recipe.head, StandardisedLinear)
        examples = recipe.head.centre.new_zeros(_examples(file), backbone.num_features)
        head = Neighbours(recipe.head, examples, torch.zeros(len(examples), dtype=torch.int64), hp)
        return restore(file, replace(recipe, head=head), task, run)


def _examples(file: Path) -> int:
    """How many examples a predictor has kept in its file: none, where it cannot be read, as who
    restores it will tell."""
    try:
        with safe_open(file, framework="pt") as opened:
            return int(opened.get_slice("head.examples").get_shape()[0])
    except (OSError, SafetensorError):
        return 0


@hookimpl
def harness_strategies() -> list[type[Strategy]]:
    return [KnnProbe]
