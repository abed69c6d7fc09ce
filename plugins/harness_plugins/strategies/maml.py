"""MAML: learn an initialisation that a few gradient steps adapt to a new task."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor

from harness.api import (
    Backbone,
    FloatDistribution,
    GradientStrategy,
    IntDistribution,
    Recalibration,
    Recipe,
    Run,
    Settings,
    Source,
    SourceEpisode,
    Space,
    Strategy,
    Task,
    check_episodes,
    constant,
    cosine,
    descend,
    hookimpl,
    source_episodes,
)
from harness_plugins.strategies._meta_gradient import Inner, batched, can_batch
from harness_plugins.strategies._side_by_side import side_by_side


@dataclass(frozen=True)
class Maml(GradientStrategy):
    """Meta-train on episodes of the source classes, then adapt by plain gradient steps.

    The head starts at zero. By symmetry that is the same as learning one vector for all classes
    (Ye & Chao 2022), and it lets one meta-training serve tasks of any number of classes.
    Batch norm uses the statistics of the support set for the queries too, so that the answer to
    one query does not depend on the others ("MetaBN" in Bronskill et al. 2020; the paper's own
    experiments let it).

    ``ways``, ``shots``, ``queries`` shape the episodes of meta-training; ``tasks`` of them make a
    meta-step. ``first_order`` leaves out the second derivatives.
    """

    ways: int = 5
    shots: int = 1
    queries: int = 5
    tasks: int = 4
    first_order: bool = False

    name: ClassVar[str] = "maml"
    citation: ClassVar[str] = "Finn et al. 2017, Model-Agnostic Meta-Learning"
    needs_source: ClassVar[bool] = True
    prepare_space: ClassVar[Space] = {
        "inner_lr": FloatDistribution(1e-2, 1.0, log=True),
        "inner_steps": IntDistribution(1, 5),
        "meta_lr": FloatDistribution(1e-4, 1e-2, log=True),
        "meta_steps": IntDistribution(1, 100_000, log=True),
    }
    space: ClassVar[Space] = {
        "adapt_lr": FloatDistribution(1e-2, 1.0, log=True),
        "adapt_steps": IntDistribution(1, 100, log=True),
    }
    defaults: ClassVar[Settings] = {
        "inner_lr": 0.4,
        "inner_steps": 1,
        "meta_lr": 1e-3,
        "meta_steps": 200,
        "adapt_lr": 0.4,
        "adapt_steps": 5,
    }

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
        parameters = [parameter for _, parameter in backbone.body_parameters()]
        optimizer = torch.optim.Adam(parameters, lr=hp["meta_lr"], fused=True)
        inner = Inner(hp["inner_lr"], hp["inner_steps"], self.ways, self.first_order)
        at_once = run.device.type != "cpu" and can_batch(
            backbone, inner, next(sampled(generator=torch.Generator()))
        )
        with (batched if at_once else side_by_side)(backbone, inner, self.tasks) as meta_gradient:

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
            steps = hp["meta_steps"]
            for _ in descend(batches, gradient, optimizer, cosine, steps, run, **parts):
                pass
        return backbone

    def recipe(self, backbone: Backbone, task: Task, hp: Settings, run: Run) -> Recipe:
        return Recipe(
            backbone,
            backbone.parameters_from(0),
            lr=hp["adapt_lr"],
            optimizer=torch.optim.SGD,
            schedule=constant,
            steps=hp["adapt_steps"],
            regularisers=[Recalibration(task.train.inputs, run.batch_size)],
        )


@hookimpl
def harness_strategies() -> list[type[Strategy]]:
    return [Maml]
