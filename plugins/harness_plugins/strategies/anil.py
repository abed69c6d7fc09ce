"""ANIL: MAML whose inner loop trains the head alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from harness.api import (
    Backbone,
    Recipe,
    Run,
    Settings,
    SourceEpisode,
    Strategy,
    Task,
    constant,
    hookimpl,
    recalibrated,
)
from harness_plugins.meta._meta_gradient import Inner, Learner, Network, head_loss
from harness_plugins.strategies.maml import Maml


class HeadOnly(Inner):
    """Steps on the head, of features that are computed once."""

    def loss(self, network: Network, episode: SourceEpisode) -> Tensor:
        support, queries = network.both(network.body, episode)

        def on_support(head: Sequence[Tensor]) -> Tensor:
            return head_loss(support, head, episode.support_labels)

        head = self.descended(network, on_support, network.zero_head(self.ways))
        return head_loss(queries, head, episode.query_labels)


@dataclass(frozen=True)
class Anil(Maml):
    """MAML without inner steps on the body, which is learned from the source alone.

    A task trains a head on it ("almost no inner loop"), of features that are computed once. After
    one step from a head of zeros, which passes no gradient on, MAML's body has not moved either:
    meta-training differs from MAML's from two inner steps on, hence the default of five (that of
    the paper on mini-ImageNet). What a task does change of the body are batch norm's statistics,
    which are those of its own examples, as in ``maml``.
    """

    name: ClassVar[str] = "anil"
    family: ClassVar[str] = "meta-learning"
    citation: ClassVar[str] = (
        "Raghu et al. 2020, Rapid Learning or Feature Reuse? Towards Understanding the "
        "Effectiveness of MAML, ICLR"
    )
    defaults: ClassVar[Settings] = {**Maml.defaults, "inner_steps": 5}

    def learner(self, hp: Settings) -> Learner:
        return HeadOnly(hp["inner_lr"], hp["inner_steps"], self.ways, self.first_order)

    def recipe(self, backbone: Backbone, task: Task, hp: Settings, run: Run) -> Recipe:
        return Recipe(
            recalibrated(backbone, task.train.inputs, run.batch_size),
            (),
            lr=hp["adapt_lr"],
            optimizer=torch.optim.SGD,
            schedule=constant,
            steps=hp["adapt_steps"],
        )


@hookimpl
def harness_strategies() -> list[type[Strategy]]:
    return [Anil]
