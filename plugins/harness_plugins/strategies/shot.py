"""SHOT: train on the source, then features alone, until its head is sure of the target."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.api import (
    Backbone,
    Batch,
    Examples,
    FloatDistribution,
    GradientStrategy,
    Inputs,
    Predictor,
    Recipe,
    Regulariser,
    Run,
    Settings,
    Space,
    Strategy,
    Task,
    Unsupported,
    fit,
    hookimpl,
)
from harness_plugins.strategies.adda import second_half
from harness_plugins.strategies.source_only import SourceOnly

SMOOTHING = 0.1
"""Of the source's labels, as in the paper."""


@dataclass(frozen=True)
class Shot(GradientStrategy):
    """Train all blocks on the source domain, then on the target alone, under the head as it is.

    In the second half of the steps, which sees nothing of the source, features learn to make the
    head sure of each target input and not of one class for all (information maximisation), and to
    be of the class whose centroid was nearest when the epoch began, which counts ``weight`` times.
    The default is the paper's for digits, where it was tried (docs/explanation/defaults.md); for
    photographs it takes 0.3.

    The paper puts a bottleneck with batch norm before the head, and normalises the head's weights:
    here the features are the backbone's own, and the head is linear. Both halves have the same
    rate; tricks amend the first alone.
    """

    name: ClassVar[str] = "shot"
    family: ClassVar[str] = "domain adaptation"
    citation: ClassVar[str] = (
        "Liang et al. 2020, Do we really need to access the source data? Source hypothesis "
        "transfer for unsupervised domain adaptation, ICML"
    )
    protocols: ClassVar[frozenset[str]] = frozenset({"adaptation"})
    space: ClassVar[Space] = {
        **SourceOnly.space,
        "weight": FloatDistribution(0.01, 1.0, log=True),
    }
    defaults: ClassVar[Settings] = {**SourceOnly.defaults, "weight": 0.1}

    def recipe(self, backbone: Backbone, task: Task, hp: Settings, run: Run) -> Recipe:
        """Of the first half."""
        return Recipe(
            backbone,
            backbone.parameters_from(0),
            lr=hp["lr"],
            weight_decay=hp["weight_decay"],
            criterion=partial(F.cross_entropy, label_smoothing=SMOOTHING),
            steps=run.steps - second_half(run.steps),
        )

    def adapt(self, backbone: Backbone, task: Task, hp: Settings, run: Run) -> Predictor:
        if task.unlabelled is None:
            raise Unsupported("shot needs unlabelled inputs of a target domain")
        recipe = self._derived(backbone, task, hp, run)
        source = fit(recipe, replace(task, val=None), run)
        labels = CentroidLabels(task.unlabelled, run.batch_size, second_half(run.steps))
        stage = Recipe(
            source.backbone,
            source.backbone.parameters_from(0),
            lr={"": hp["lr"], "head": 0.0},
            weight_decay=hp["weight_decay"],
            head=source.head,
            criterion=partial(uncertainty, weight=hp["weight"]),
            regularisers=[labels],
            steps=second_half(run.steps),
        )
        target = replace(
            task,
            train=Examples(task.unlabelled, labels.labels.to(run.device)),
            val=None if task.unlabelled_val is None else task.val,
        )
        return fit(stage, target, run)


class CentroidLabels(Regulariser):
    """Gives the examples of each batch, whatever their labels, those of the nearest centroids,
    which are found anew with each epoch.

    Args:
        inputs: those of all training examples.
        steps: how many the training has.
    """

    whole: ClassVar[bool] = True  # for ``uncertainty``, which is of a batch's mean prediction
    labels: Tensor

    def __init__(self, inputs: Inputs, batch_size: int, steps: int) -> None:
        super().__init__()
        self.inputs, self.steps = inputs, steps
        self.epoch = math.ceil(len(inputs) / batch_size)
        self.register_buffer("labels", torch.zeros(len(inputs), dtype=torch.int64))

    @torch.no_grad()
    def batch(self, batch: Batch) -> Batch:
        if round(batch.progress * self.steps) % self.epoch == 0:
            features = batch.model.features(self.inputs)
            self.labels.copy_(nearest_centroids(features, batch.model.classify(features)))
        return replace(batch, targets=self.labels[batch.index])


def nearest_centroids(features: Tensor, logits: Tensor) -> Tensor:
    """The class whose centroid is nearest by the cosine, int64 ``[n]``, of features ``[n, D]``:
    first of centroids to which each input counts by its probability of the class, of logits ``[n,
    classes]``, and then of those of the classes so found (section 3)."""
    features, shares = features.double(), logits.double().softmax(1)  # centroids may be close
    points = F.normalize(features)

    def nearest(parts: Tensor) -> Tensor:
        total = parts.sum(0)
        similarity = points @ F.normalize(parts.T @ features / total[:, None]).T
        return similarity.masked_fill(total == 0, -torch.inf).argmax(1)

    found = nearest(shares)
    return nearest(F.one_hot(found, logits.shape[1]).double())


def uncertainty(logits: Tensor, targets: Tensor, weight: float) -> Tensor:
    """What the second half lowers, in nats: the mean entropy of predictions ``[b, classes]`` less
    that of their mean, and ``weight`` times the cross-entropy (section 3)."""
    told = logits.float().log_softmax(1)
    mean = told.logsumexp(0) - math.log(len(told))  # as a class that nobody is of has no logarithm
    unsure = -(told.exp() * told).sum(1).mean()
    diverse = -(mean.exp() * mean).sum()
    return unsure - diverse + weight * F.cross_entropy(logits, targets)


@hookimpl
def harness_strategies() -> list[type[Strategy]]:
    return [Shot]
