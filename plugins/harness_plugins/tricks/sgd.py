"""SGD with momentum in place of the training's own optimiser."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import torch

from harness.api import (
    FloatDistribution,
    HarnessError,
    Recipe,
    Run,
    Settings,
    Space,
    Task,
    Trick,
    hookimpl,
)
from harness_plugins.tricks._rates import by_name


@dataclass(frozen=True)
class Sgd(Trick):
    """Descend by SGD with ``momentum``, at ``times`` the rates that the training has without it.

    For a method whose paper uses SGD. A hundred times AdamW's rates collapse where batch norms stay
    as the source left them. Name it before ``sam``.
    """

    momentum: float = 0.9

    name: ClassVar[str] = "sgd"
    family: ClassVar[str] = "optimisation"
    citation: ClassVar[str] = "Sutskever et al. 2013, On the importance of momentum"
    space: ClassVar[Space] = {"times": FloatDistribution(1.0, 100.0, log=True)}
    defaults: ClassVar[Settings] = {"times": 10.0}

    def __post_init__(self) -> None:
        if not 0 <= self.momentum < 1:
            raise HarnessError(f"sgd's momentum is {self.momentum}", "Give 0 or more, below 1")

    def amend(self, recipe: Recipe, task: Task, hp: Settings, run: Run) -> Recipe:
        """Take the place of AdamW.

        Raises:
            HarnessError: the recipe has another optimiser.
        """
        if recipe.optimizer is not Recipe.optimizer:
            raise HarnessError(
                "sgd takes the place of AdamW, and this training has another optimiser",
                "Name sgd before sam, or leave it out for a strategy with an optimiser of its own",
            )
        rates = {name: hp["times"] * rate for name, rate in by_name(recipe.lr).items()}
        return replace(recipe, lr=rates, optimizer=partial(torch.optim.SGD, momentum=self.momentum))


@hookimpl
def harness_tricks() -> list[type[Trick]]:
    return [Sgd]
