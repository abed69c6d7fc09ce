"""Reptile: move the initialisation towards where ordinary training takes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import ClassVar

import torch
from torch import Tensor

from harness.api import (
    FloatDistribution,
    IntDistribution,
    Settings,
    SourceEpisode,
    Space,
    Strategy,
    hookimpl,
)
from harness_plugins.meta._meta_gradient import Inner, Learner, Network, head_loss
from harness_plugins.strategies.maml import Maml


@dataclass(frozen=True)
class Batches(Inner):
    """Steps of which each takes the next ``batch`` examples of each class, in turn."""

    batch: int = 1

    def loss(self, network: Network, episode: SourceEpisode) -> Tensor:
        """Half the squared distance from the initialisation to where the steps lead, which counts
        as a constant: its gradient is their difference."""
        body = network.leaves(network.body)
        turns, shots = count(), len(episode.support) // self.ways

        def on_batch(values: Sequence[Tensor]) -> Tensor:
            first = next(turns) * self.batch
            chosen = [place % shots for place in range(first, first + self.batch)]

            def of_each_class(examples: Tensor) -> Tensor:
                classes = examples.unflatten(0, (self.ways, shots))
                return torch.stack([classes[:, place] for place in chosen], 1).flatten(0, 1)

            found = network.features(values[: len(body)], of_each_class(episode.support))
            return head_loss(found, values[len(body) :], of_each_class(episode.support_labels))

        ended = self.descended(network, on_batch, (*body, *network.zero_head(self.ways)))
        pairs = zip(network.body, ended, strict=False)  # without the head, which begins at zero
        distances = [(before - after.detach()).square().sum() for before, after in pairs]
        return torch.stack(distances).sum() / 2


@dataclass(frozen=True)
class Reptile(Maml):
    """Move the initialisation a part of the way to where plain steps on a task lead.

    So it goes for one meta-step of tasks after another; then it adapts as ``maml`` does. θ ← θ + ε
    · mean(φ - θ), with φ the parameters after the steps of one of ``tasks`` (algorithm 2); ε,
    ``meta_lr``, falls from 1 to 0 as in the paper, here along a cosine. No derivative goes through
    the steps, and there are no queries: each step takes another ``batch`` examples of each class
    out of ``shots``. Ten shots, five steps and two examples a class are the paper's on Omniglot;
    its steps are Adam's, and here gradient descent's, as adapting is.
    """

    shots: int = 10
    batch: int = 2
    queries: int = field(default=0, init=False)
    first_order: bool = field(default=True, init=False)

    name: ClassVar[str] = "reptile"
    family: ClassVar[str] = "meta-learning"
    citation: ClassVar[str] = (
        "Nichol et al. 2018, On First-Order Meta-Learning Algorithms, arXiv:1803.02999"
    )
    prepare_space: ClassVar[Space] = {
        **Maml.prepare_space,
        "inner_steps": IntDistribution(2, 20),  # the first from a head of zeros moves no body
        "meta_lr": FloatDistribution(1e-1, 1.0, log=True),
    }
    defaults: ClassVar[Settings] = {**Maml.defaults, "inner_steps": 5, "meta_lr": 1.0}

    def learner(self, hp: Settings) -> Learner:
        return Batches(hp["inner_lr"], hp["inner_steps"], self.ways, batch=self.batch)

    def optimizer(self, parameters: Sequence[Tensor], hp: Settings) -> torch.optim.Optimizer:
        return torch.optim.SGD(parameters, lr=hp["meta_lr"])


@hookimpl
def harness_strategies() -> list[type[Strategy]]:
    return [Reptile]
