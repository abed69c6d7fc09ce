"""Surgical fine-tuning: one contiguous part of the blocks trains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from harness.api import (
    Backbone,
    CategoricalDistribution,
    FloatDistribution,
    GradientStrategy,
    Recipe,
    Run,
    Settings,
    Space,
    Strategy,
    Task,
    Unsupported,
    hookimpl,
)

PARTS = ("first", "middle", "last")


@dataclass(frozen=True)
class Surgical(GradientStrategy):
    """Train the first, the middle or the last third of the blocks, and the head.

    Which one suits tells how the task differs from the source, says the paper: the first where
    inputs look different, the last where labels mean something else. There, the head is the
    source's and one block is chosen; here it is new, and always trains. Thirds are of the number of
    blocks; where it is no multiple of three, the middle takes what is left.
    """

    name: ClassVar[str] = "surgical"
    family: ClassVar[str] = "fine-tuning"
    citation: ClassVar[str] = "Lee et al. 2023, Surgical fine-tuning improves adaptation"
    space: ClassVar[Space] = {
        **GradientStrategy.space,
        "part": CategoricalDistribution(PARTS),
    }
    defaults: ClassVar[Settings] = {**GradientStrategy.defaults, "part": "last"}
    frozen_space: ClassVar[Space] = {"lr": FloatDistribution(1e-5, 1e-3, log=True)}
    frozen_defaults: ClassVar[Settings] = {"lr": 2e-4}

    def recipe(self, backbone: Backbone, task: Task, hp: Settings, run: Run) -> Recipe:
        blocks = len(backbone.blocks)
        if blocks < len(PARTS):
            raise Unsupported(f"surgical needs three blocks or more, and this model has {blocks}")
        third = blocks // 3
        first, last = {
            "first": (0, third),
            "middle": (third, blocks - third),
            "last": (blocks - third, blocks),
        }[hp["part"]]
        names = [n for n in backbone.parameters_from(first) if backbone.block_of(n) < last]
        return Recipe(backbone, names, lr=hp["lr"], weight_decay=hp["weight_decay"])


@hookimpl
def harness_strategies() -> list[type[Strategy]]:
    return [Surgical]
