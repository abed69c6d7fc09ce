"""Dropout: let the head learn from features of which some are missing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from torch import nn

from harness.api import (
    FloatDistribution,
    Recipe,
    Run,
    Settings,
    Space,
    Task,
    Trick,
    first_head,
    hookimpl,
)


@dataclass(frozen=True)
class Dropout(Trick):
    """Set a ``share`` of the features to 0 before the head, and enlarge the others by as much.

    Only while training; a half is what the paper takes for hidden units. The head's parameters are
    ``head.1.…`` then.
    """

    name: ClassVar[str] = "dropout"
    family: ClassVar[str] = "regularisation"
    citation: ClassVar[str] = "Srivastava et al. 2014, Dropout"
    space: ClassVar[Space] = {"share": FloatDistribution(0.05, 0.8)}
    defaults: ClassVar[Settings] = {"share": 0.5}

    def amend(self, recipe: Recipe, task: Task, hp: Settings, run: Run) -> Recipe:
        head = nn.Sequential(nn.Dropout(hp["share"]), first_head(recipe, task))
        return replace(recipe, head=head)


@hookimpl
def harness_tricks() -> list[type[Trick]]:
    return [Dropout]
