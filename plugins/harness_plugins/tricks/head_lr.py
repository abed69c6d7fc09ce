"""A rate of its own for the head, which starts from nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

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
from harness_plugins.tricks._rates import by_name, rate_of


@dataclass(frozen=True)
class HeadLr(Trick):
    """Train the head, which is not pretrained, at ``times`` the rate of the body.

    The paper takes 10. Where rates differ within the body, the body's is that of ``""``, the rest,
    or else the highest.
    """

    name: ClassVar[str] = "head_lr"
    family: ClassVar[str] = "optimisation"
    citation: ClassVar[str] = "Long et al. 2015, Learning transferable features"
    space: ClassVar[Space] = {"times": FloatDistribution(1.0, 100.0, log=True)}
    defaults: ClassVar[Settings] = {"times": 10.0}

    def amend(self, recipe: Recipe, task: Task, hp: Settings, run: Run) -> Recipe:
        """Set the head's rate, whatever it was.

        Raises:
            HarnessError: nothing but the head trains.
        """
        if not recipe.trainable:
            raise HarnessError(
                "head_lr sets the head's rate beside the body's, and here nothing of the body "
                "trains",
                "Leave the trick out for this strategy",
            )
        rates = by_name(recipe.lr)
        body = rates[""] if "" in rates else max(rate_of(rates, n) for n in recipe.trainable)
        others = {name: rate for name, rate in rates.items() if name.split(".")[0] != "head"}
        return replace(recipe, lr={**others, "head": hp["times"] * body})


@hookimpl
def harness_tricks() -> list[type[Trick]]:
    return [HeadLr]
