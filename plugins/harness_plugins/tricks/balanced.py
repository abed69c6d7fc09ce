"""Balanced batches: every class is seen equally often, however many examples it has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import ClassVar

import torch
from torch import Tensor

from harness.api import (
    Examples,
    HarnessError,
    OneClass,
    Recipe,
    Run,
    Settings,
    Task,
    Trick,
    hookimpl,
)


@dataclass(frozen=True)
class Balanced(Trick):
    """Draw batches class by class, so that all classes are seen equally often.

    Class-aware sampling: all classes have their turn, and in each turn a class shows an example
    that it has not shown since all others of it were; both orders are drawn anew each time.
    ``class_weights`` is the other way to the same end: take one of them.
    """

    name: ClassVar[str] = "balanced"
    family: ClassVar[str] = "optimisation"
    citation: ClassVar[str] = "Shen et al. 2016, Relay backpropagation"

    def amend(self, recipe: Recipe, task: Task, hp: Settings, run: Run) -> Recipe:
        """Draw balanced batches.

        Raises:
            HarnessError: there are no classes, or the recipe draws batches in a way of its own.
        """
        if not isinstance(task.target, OneClass) or recipe.sampler is not None:
            raise HarnessError(
                "balanced draws batches by class, and this training draws its own",
                "Leave the trick out for this strategy",
            )
        return replace(recipe, sampler=class_aware)


def class_aware(
    examples: Examples, batch_size: int, steps: int, generator: torch.Generator
) -> Iterator[Tensor]:
    """Positions int64 ``[b]`` of the examples of each batch, where ``b`` is ``batch_size``, or all
    examples where there are fewer."""
    labels = examples.labels.cpu()
    members = [torch.nonzero(labels == label).flatten() for label in labels.unique()]
    shown = [in_turn(rows, generator) for rows in members]
    turns = in_turn(torch.arange(len(members)), generator)
    size = min(batch_size, len(labels))
    for _ in range(steps):
        yield torch.tensor([next(shown[turn]) for turn in islice(turns, size)])


def in_turn(values: Tensor, generator: torch.Generator) -> Iterator[int]:
    """All of some whole numbers, in an order that is drawn, again and again."""
    while True:
        yield from values[torch.randperm(len(values), generator=generator)].tolist()


@hookimpl
def harness_tricks() -> list[type[Trick]]:
    return [Balanced]
