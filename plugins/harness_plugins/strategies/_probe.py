"""What probes share that solve for linear heads instead of training them."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.api import (
    Backbone,
    Classifier,
    Diverged,
    Predictor,
    Recipe,
    Run,
    Settings,
    Strategy,
    Target,
    Task,
    restore,
    stand_in,
    standardised_head,
)


class SolvedProbe(Strategy):
    """A linear head on frozen features, which are centred and scaled: all settings of one task are
    solved for together."""

    @abstractmethod
    def solve(
        self, features: Tensor, labels: Tensor, classes: int, settings: Sequence[Settings]
    ) -> Iterable[tuple[Tensor, Tensor]]:
        """Weight ``[classes, D]`` and bias ``[classes]`` for each of some settings.

        Args:
            features: float64 ``[n, D]``, of mean 0 but for rounding.
            labels: int64 ``[n]``; there may be classes without examples.
        """

    def adapt(self, backbone: Backbone, task: Task, hp: Settings, run: Run) -> Predictor:
        return self.adapt_batch(backbone, [(task, hp)], run)[0]

    @torch.no_grad()
    def adapt_batch(
        self, backbone: Backbone, batch: Sequence[tuple[Task, Settings]], run: Run
    ) -> list[Predictor]:
        places = defaultdict(list)
        for place, (task, _) in enumerate(batch):
            places[id(task)].append(place)
        predictors: dict[int, Predictor] = {}
        for own in places.values():
            task = batch[own[0]][0]
            model = Classifier(probe_recipe(backbone, task, run), task, run)
            features = model.head.standardise(model.features(task.train.inputs)).double()
            if not features.isfinite().all():
                raise Diverged("the features are not finite")
            settings = [batch[place][1] for place in own]
            solved = self.solve(features, task.train.labels, task.classes, settings)
            for place, (weight, bias) in zip(own, solved, strict=True):
                head = copy.deepcopy(model.head)
                head.weight.copy_(weight)
                head.bias.copy_(bias)
                predictors[place] = model.with_head(head)
        return [predictors[place] for place in range(len(batch))]

    def restore(
        self, file: Path, backbone: Backbone, target: Target, hp: Settings, run: Run
    ) -> Predictor:
        task = stand_in(backbone, target)
        return restore(file, probe_recipe(backbone, task, run), task, run)


def probe_recipe(backbone: Backbone, task: Task, run: Run) -> Recipe:
    """Nothing trains, and the head sees features that are centred and scaled."""
    return Recipe(backbone, (), lr=0.0, head=standardised_head(backbone, task, run))


def spanned(features: Tensor) -> tuple[Tensor, Tensor]:
    """Features ``[n, r]``, ``r = min(n, D)``, as coordinates in an orthonormal basis ``[D, r]``:
    what no example has a share in, no weight that a penalty keeps small has either."""
    if len(features) >= features.shape[1]:
        return features, torch.eye(features.shape[1]).to(features)
    basis, triangle = torch.linalg.qr(features.mT)
    return triangle.mT, basis


def class_means(features: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """The mean feature of each class, ``[classes, D]``, and its number of examples, ``[classes]``;
    a class without examples has a mean of 0."""
    members = F.one_hot(labels, classes).to(features.dtype)
    counts = members.sum(0)
    return members.T @ features / counts.clamp_min(1)[:, None], counts


def without_the_absent(bias: Tensor, counts: Tensor) -> Tensor:
    """Biases ``[classes]``, where those of classes without examples are 40 nats below the others':
    such a class is not predicted, and all logits are finite."""
    return torch.where(counts > 0, bias, bias[counts > 0].min() - 40)
