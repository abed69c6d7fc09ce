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

    For a method whose paper uses SGD, above all a penalty on the features: AdamW divides a gradient
    by its own size, and so makes full steps of the slightest penalty as long as the loss has none
    for the backbone, which is so while a head of zeros learns. Name it before ``sam``.
    """

    momentum: float = 0.9

    name: ClassVar[str] = "sgd"
    family: ClassVar[str] = "optimisation"
    citation: ClassVar[str] = "Sutskever et al. 2013, On the importance of momentum"
    space: ClassVar[Space] = {"times": FloatDistribution(10.0, 1000.0, log=True)}
    defaults: ClassVar[Settings] = {"times": 100.0}

    def __post_init__(self) -> None:
        if not 0 <= self.momentum < 1:
            raise HarnessError(f"sgd's momentum is {self.momentum}", "Give 0 or more, below 1")

    def amend(self, recipe: Recipe, task: Task, hp: Settings, run: Run) -> Recipe:
        rates = {name: hp["times"] * rate for name, rate in by_name(recipe.lr).items()}
        return replace(recipe, lr=rates, optimizer=partial(torch.optim.SGD, momentum=self.momentum))


@hookimpl
def harness_tricks() -> list[type[Trick]]:
    return [Sgd]
