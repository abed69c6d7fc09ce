"""Gradual unfreezing: the head first, then one block more at a time, earlier ones more slowly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

from torch import nn

from harness.api import (
    Backbone,
    FloatDistribution,
    GradientStrategy,
    Recipe,
    Run,
    Settings,
    Space,
    Strategy,
    Task,
    fit,
    hookimpl,
)


@dataclass(frozen=True)
class GradualUnfreeze(GradientStrategy):
    """Train the head, then the last block too, then the one before it, and so on to all of them.

    All stages take as many steps, the last what is left of them; where there are fewer steps than
    stages, several blocks are unfrozen at once. Each block's rate is ``factor`` times that of the
    one after it, the paper's "discriminative" rates; its factor is 1 / 2.6. Only the last stage is
    validated, and amended by tricks. Each stage has the schedule of a training of its own.
    """

    name: ClassVar[str] = "gradual_unfreeze"
    family: ClassVar[str] = "fine-tuning"
    starts_from: ClassVar[str | None] = "linear_probe"
    citation: ClassVar[str] = "Howard & Ruder 2018, Universal language model fine-tuning"
    space: ClassVar[Space] = {**GradientStrategy.space, "factor": FloatDistribution(0.2, 1.0)}
    defaults: ClassVar[Settings] = {**GradientStrategy.defaults, "factor": 1 / 2.6}
    frozen_space: ClassVar[Space] = {"lr": FloatDistribution(1e-5, 1e-3, log=True)}
    frozen_defaults: ClassVar[Settings] = {"lr": 2e-4}

    def recipe(self, backbone: Backbone, task: Task, hp: Settings, run: Run) -> Recipe:
        *earlier, last = unfrozen(len(backbone.blocks), run.steps)
        steps = max(1, run.steps // (len(earlier) + 1))
        head, done = None, 0
        for first in earlier:
            stage = _stage(backbone, first, hp, head, done)
            model = fit(replace(stage, steps=steps), replace(task, val=None), run)
            backbone, head, done = model.backbone, model.head, done + steps
        return replace(_stage(backbone, last, hp, head, done), steps=run.steps - done)


def unfrozen(blocks: int, most: int) -> Iterator[int]:
    """The first block that trains, in each stage: from ``blocks``, which is the head alone, to 0,
    in ``most`` stages at most."""
    stages = min(blocks, most - 1)
    for stage in range(stages):
        yield blocks - blocks * stage // stages
    yield 0


def _stage(
    backbone: Backbone, first: int, hp: Settings, head: nn.Module | None, done: int
) -> Recipe:
    names, after = backbone.parameters_from(first), len(backbone.blocks)
    rates = {name: hp["lr"] * hp["factor"] ** (after - backbone.block_of(name)) for name in names}
    return Recipe(
        backbone,
        names,
        lr={"head": hp["lr"], **rates},
        weight_decay=hp["weight_decay"],
        head=head,
        steps_before=done,
    )


@hookimpl
def harness_strategies() -> list[type[Strategy]]:
    return [GradualUnfreeze]
