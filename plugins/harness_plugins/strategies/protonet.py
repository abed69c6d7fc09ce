"""Prototypical networks: learn features in which a class is its examples' mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.api import (
    Backbone,
    Classifier,
    FloatDistribution,
    IntDistribution,
    Predictor,
    Recipe,
    Run,
    Settings,
    Source,
    SourceEpisode,
    Space,
    Strategy,
    Task,
    check_episodes,
    cosine,
    descend,
    hookimpl,
    source_episodes,
)


@dataclass(frozen=True)
class ProtoNet(Strategy):
    """Meta-train features on episodes of the source, then classify by the nearest class mean.

    Adapting takes no gradient: a class's prototype is the mean feature of its examples, and the
    logits are minus the squared distances to the prototypes. Episodes of more ``ways`` than the
    task has make better features, as in the paper. Batch norm uses its running statistics outside
    meta-training, so that the answer to one query does not depend on the others.

    ``ways``, ``shots``, ``queries`` shape the episodes; each makes one step.
    """

    ways: int = 20
    shots: int = 1
    queries: int = 5

    name: ClassVar[str] = "protonet"
    family: ClassVar[str] = "meta-learning"
    citation: ClassVar[str] = "Snell et al. 2017, Prototypical networks"
    needs_source: ClassVar[bool] = True
    prepare_space: ClassVar[Space] = {
        "meta_lr": FloatDistribution(1e-4, 1e-2, log=True),
        "meta_steps": IntDistribution(1, 100_000, log=True),
    }
    defaults: ClassVar[Settings] = {"meta_lr": 1e-3, "meta_steps": 200}

    def check_source(self, sizes: Sequence[int]) -> None:
        check_episodes(sizes, ways=self.ways, shots=self.shots, queries=self.queries)

    def prepare(
        self, backbone: Backbone, source: Source | None, hp: Settings, run: Run
    ) -> Backbone:
        assert source is not None
        draws = run.generator("meta-training episodes")
        episodes = source_episodes(
            source, ways=self.ways, shots=self.shots, queries=self.queries, generator=draws
        )
        backbone.train_only(set(backbone.parameters_from(0)))
        optimizer = torch.optim.Adam(backbone.parameters(), lr=hp["meta_lr"], fused=True)

        def gradient(episode: SourceEpisode) -> Tensor:
            both = backbone(torch.cat([episode.support, episode.query]))
            support, query = both.split([len(episode.support), len(episode.query)])
            weight, bias = linear(prototypes(support, episode.support_labels, self.ways))
            loss = F.cross_entropy(F.linear(query, weight, bias), episode.query_labels)
            loss.backward()
            return loss

        parts: dict[str, Any] = {"backbone": backbone, "draws": draws}
        steps = hp["meta_steps"]
        for _ in descend(lambda _: episodes, gradient, optimizer, cosine, steps, run, **parts):
            pass
        return backbone

    @torch.no_grad()
    def adapt(self, backbone: Backbone, task: Task, hp: Settings, run: Run) -> Predictor:
        model = Classifier(Recipe(backbone, (), lr=0.0), task, run)
        features = model.features(task.train.inputs)
        weight, bias = linear(prototypes(features, task.train.labels, task.classes))
        model.head.weight.copy_(weight)
        model.head.bias.copy_(bias)
        return model


def prototypes(features: Tensor, labels: Tensor, classes: int) -> Tensor:
    """The mean feature of each class, ``[classes, D]``, of features ``[n, D]`` (equation 1)."""
    members = F.one_hot(labels, classes).to(features.dtype)
    return members.T @ features / members.sum(0)[:, None]


def linear(prototypes: Tensor) -> tuple[Tensor, Tensor]:
    """Weight ``[classes, D]`` and bias ``[classes]`` whose logits are minus the squared distances,
    up to a constant for each input that softmax does not see (section 2.4)."""
    return 2 * prototypes, -prototypes.square().sum(1)


@hookimpl
def harness_strategies() -> list[type[Strategy]]:
    return [ProtoNet]
