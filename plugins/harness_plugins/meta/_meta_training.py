"""Meta-training: descent on what tasks of the source come to once they have been learned."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from harness.api import (
    Backbone,
    Run,
    Settings,
    Source,
    SourceEpisode,
    Strategy,
    check_episodes,
    cosine,
    descend,
    source_episodes,
)
from harness_plugins.meta._meta_gradient import Learner, batched, can_batch, meta_parameters
from harness_plugins.meta._side_by_side import side_by_side


@dataclass(frozen=True)
class MetaLearning(Strategy):
    """A strategy that learns, on episodes of the source classes, what a :class:`Learner` begins a
    task with. Says what the learner is; ``meta_lr`` and ``meta_steps`` are among its settings.

    ``ways``, ``shots``, ``queries`` shape the episodes; ``tasks`` of them make a meta-step.
    """

    ways: int = 5
    shots: int = 1
    queries: int = 5
    tasks: int = 4

    needs_source: ClassVar[bool] = True

    @abstractmethod
    def learner(self, hp: Settings) -> Learner:
        """What learns each task of meta-training."""

    def extras(self) -> Mapping[str, float]:
        """Numbers that are learned besides the weights, by name, each with what it is at first.
        They end up in ``backbone.extras``."""
        return {}

    def optimizer(self, parameters: Sequence[Tensor], hp: Settings) -> torch.optim.Optimizer:
        """What makes the meta-steps."""
        return torch.optim.Adam(parameters, lr=hp["meta_lr"], fused=True)

    def check_source(self, sizes: Sequence[int]) -> None:
        check_episodes(sizes, ways=self.ways, shots=self.shots, queries=self.queries)

    def prepare(
        self, backbone: Backbone, source: Source | None, hp: Settings, run: Run
    ) -> Backbone:
        assert source is not None
        draws = run.generator("meta-training episodes")
        sampled = partial(
            source_episodes, source, ways=self.ways, shots=self.shots, queries=self.queries
        )
        episodes = sampled(generator=draws)
        backbone.train_only(set(backbone.parameters_from(0)))
        values = {name: torch.tensor(value) for name, value in self.extras().items()}
        extras = nn.ParameterDict(values).to(run.device)
        backbone.extras.update(extras.items())
        parameters = [*meta_parameters(backbone).values()]
        optimizer = self.optimizer(parameters, hp)
        learner = self.learner(hp)
        at_once = run.device.type != "cpu" and can_batch(
            backbone, learner, next(sampled(generator=torch.Generator()))
        )
        with (batched if at_once else side_by_side)(backbone, learner, self.tasks) as meta_gradient:

            def batches(done: int) -> Iterator[list[SourceEpisode]]:
                while True:
                    yield [next(episodes) for _ in range(self.tasks)]

            def gradient(batch: list[SourceEpisode]) -> Tensor:
                total, gradients = meta_gradient(batch)
                for parameter, slope in zip(parameters, gradients, strict=True):
                    # laid out as the parameter: fused optimizers walk the two side by side
                    parameter.grad = torch.empty_like(parameter).copy_(slope).div_(self.tasks)
                return total

            parts: dict[str, Any] = {"backbone": backbone, "draws": draws}
            if values:
                parts["extras"] = extras
            steps = hp["meta_steps"]
            for _ in descend(batches, gradient, optimizer, cosine, steps, run, **parts):
                pass
        backbone.extras.update((name, value.detach()) for name, value in extras.items())
        return backbone
