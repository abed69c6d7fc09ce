"""BitFit: only biases train."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

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
    Unsupported,
    hookimpl,
)


@dataclass(frozen=True)
class BitFit(GradientStrategy):
    """Train all biases and the head; every other weight stays as it is.

    In a convolutional network the biases are mostly those of its norms. Rates are higher than for
    full fine-tuning, as in the paper, which tries 1e-4 to 1e-3 where 1e-5 to 5e-5 suit that; the
    default is within a point of the best that the reference comparisons tried, and the space ends
    before training goes astray (docs/explanation/defaults.md). Weight decay is the head's: biases
    have none.
    """

    name: ClassVar[str] = "bitfit"
    family: ClassVar[str] = "parameter-efficient fine-tuning"
    citation: ClassVar[str] = (
        "Ben Zaken et al. 2022, BitFit: Simple parameter-efficient fine-tuning"
    )
    space: ClassVar[Space] = {
        **GradientStrategy.space,
        "lr": FloatDistribution(3e-4, 1e-2, log=True),
    }
    defaults: ClassVar[Settings] = {**GradientStrategy.defaults, "lr": 3e-3}

    def recipe(self, backbone: Backbone, task: Task, hp: Settings, run: Run) -> Recipe:
        biases = [name for name, _ in backbone.body_parameters() if name.endswith("bias")]
        if not biases:
            raise Unsupported("bitfit trains biases, and this model has none")
        return Recipe(backbone, biases, lr=hp["lr"], weight_decay=hp["weight_decay"])


@hookimpl
def harness_strategies() -> list[type[Strategy]]:
    return [BitFit]
