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
from harness_plugins.strategies._probe import class_means


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
            weight, bias = prototype_head(support, episode.support_labels, self.ways)
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
        weight, bias = prototype_head(features, task.train.labels, task.classes)
        model.head.weight.copy_(weight)
        model.head.bias.copy_(bias)
        return model


def prototype_head(features: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Weight ``[classes, D]`` and bias ``[classes]`` whose logits are minus the squared distances
    from the mean feature of each class, of features ``[n, D]`` (equation 1), up to a constant for
    each input that softmax does not see (section 2.4). A class without examples is always 40 nats
    below one that has some: it is not predicted."""
    prototypes, counts = class_means(features, labels, classes)
    weight, bias = 2 * prototypes, -prototypes.square().sum(1)
    absent, known = counts == 0, counts.argmax()[None]  # an index that no GPU is waited for
    weight = torch.where(absent[:, None], weight[known], weight)
    return weight, torch.where(absent, bias[known] - 40, bias)


@hookimpl
def harness_strategies() -> list[type[Strategy]]:
    return [ProtoNet]
