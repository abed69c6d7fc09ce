"""R2-D2: learn features on which ridge regression, in closed form, separates new classes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.api import (
    Backbone,
    FloatDistribution,
    IntDistribution,
    Predictor,
    Run,
    Settings,
    SourceEpisode,
    Space,
    Strategy,
    Task,
    hookimpl,
)
from harness_plugins.meta._meta_gradient import Learner, Network
from harness_plugins.meta._meta_training import MetaLearning
from harness_plugins.meta._support_statistics import by_support


@dataclass(frozen=True)
class Ridge:
    """Regresses one-hot labels of the support set."""

    ways: int

    def loss(self, network: Network, episode: SourceEpisode) -> Tensor:
        support, queries = network.both(network.body, episode)
        weight = regressed(support, episode.support_labels, self.ways, network.extras)
        return F.cross_entropy(queries @ weight, episode.query_labels)


@dataclass(frozen=True)
class R2D2(MetaLearning):
    """Meta-train features for ridge regression, with its penalty and a scale; adapt by solving it.

    That gives W = (XᵀX + λI)⁻¹XᵀY of the features X ``[n, D]`` and one-hot labels Y. The logits are
    αXW (section 3.2 of the paper). Its further number β, added to all logits alike, has no effect
    on probabilities, and is left out. λ is learned by its logarithm. The paper joins features of
    several layers; here features are the backbone's. Batch norm goes by the support set, as in
    ``maml``.
    """

    name: ClassVar[str] = "r2d2"
    family: ClassVar[str] = "meta-learning"
    citation: ClassVar[str] = (
        "Bertinetto et al. 2019, Meta-learning with differentiable closed-form solvers, ICLR"
    )
    prepare_space: ClassVar[Space] = {
        "meta_lr": FloatDistribution(1e-4, 1e-2, log=True),
        "meta_steps": IntDistribution(1, 100_000, log=True),
    }
    defaults: ClassVar[Settings] = {"meta_lr": 1e-3, "meta_steps": 200}

    def learner(self, hp: Settings) -> Learner:
        return Ridge(self.ways)

    def extras(self) -> Mapping[str, float]:
        return {"log_penalty": 0.0, "log_scale": math.log(10.0)}

    @torch.no_grad()
    def adapt(self, backbone: Backbone, task: Task, hp: Settings, run: Run) -> Predictor:
        model = by_support(backbone, task, run)
        features = model.features(task.train.inputs)
        learned = {n: torch.tensor(value) for n, value in self.extras().items()} | backbone.extras
        model.head.weight.copy_(regressed(features, task.train.labels, task.classes, learned).T)
        return model


def regressed(
    features: Tensor, labels: Tensor, classes: int, learned: Mapping[str, Tensor]
) -> Tensor:
    """Weights ``[D, classes]`` whose logits are those of ridge regression, scaled."""
    targets = F.one_hot(labels, classes).to(features.dtype)
    scale = learned["log_scale"].exp()
    return scale * ridge(features, targets, learned["log_penalty"].exp())


def ridge(features: Tensor, targets: Tensor, penalty: Tensor) -> Tensor:
    """What minimises |XW - Y|² + λ|W|², ``[D, k]``, with features X ``[n, D]`` and targets Y
    ``[n, k]``: solved in whichever of n and D dimensions is fewer (equations 3 and 4)."""
    count, width = features.shape
    unit = torch.eye(min(count, width), dtype=features.dtype, device=features.device)
    solved: Tensor
    if count > width:
        solved = torch.linalg.solve(features.T @ features + penalty * unit, features.T @ targets)
    else:
        solved = features.T @ torch.linalg.solve(features @ features.T + penalty * unit, targets)
    return solved


@hookimpl
def harness_strategies() -> list[type[Strategy]]:
    return [R2D2]
