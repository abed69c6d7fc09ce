"""Layer-wise decay of the rates: what lies near the input changes less."""

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
class Llrd(Trick):
    """Multiply the rates by ``decay`` once more for each block that is farther from the head.

    By ``decay`` in the last block of the backbone, by its square in the one before; the head keeps
    its rate. The paper takes 0.8 for a small and a base model and 0.9 for a large one. The rates
    are those of groups of parameters, which every schedule scales.
    """

    name: ClassVar[str] = "llrd"
    family: ClassVar[str] = "optimisation"
    citation: ClassVar[str] = "Clark et al. 2020, ELECTRA"
    space: ClassVar[Space] = {"decay": FloatDistribution(0.5, 1.0)}
    defaults: ClassVar[Settings] = {"decay": 0.8}

    def amend(self, recipe: Recipe, task: Task, hp: Settings, run: Run) -> Recipe:
        """Give each parameter of the body that trains its own rate.

        Raises:
            HarnessError: none of them trains.
        """
        if not recipe.trainable:
            raise HarnessError(
                "llrd lowers the rates of the backbone's blocks, and here none of them trains",
                "Leave the trick out for this strategy",
            )
        rates, backbone = by_name(recipe.lr), recipe.backbone
        decayed = {
            name: rate_of(rates, name)
            * hp["decay"] ** (len(backbone.blocks) - backbone.block_of(name))
            for name in recipe.trainable
        }
        return replace(recipe, lr={**rates, **decayed})


@hookimpl
def harness_tricks() -> list[type[Trick]]:
    return [Llrd]
