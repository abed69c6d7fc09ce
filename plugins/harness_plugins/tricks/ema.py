"""EMA: score and keep a moving average of the weights instead of the last ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import ClassVar

from harness.api import (
    Classifier,
    FloatDistribution,
    Recipe,
    Regulariser,
    Run,
    Settings,
    Space,
    Task,
    Trick,
    hookimpl,
)


class MovingAverage(Regulariser):
    """Of all that training changes: ``decay`` of what it was, and the rest of what is now. What is
    no float, such as a count, is as it was last."""

    def __init__(self, decay: float) -> None:
        super().__init__()
        self.decay = decay

    def started(self, model: Classifier) -> None:
        for number, value in enumerate(model.state_dict().values()):
            self.register_buffer(f"mean{number}", value.clone())

    def stepped(self, model: Classifier) -> None:
        for mean, value in zip(self.buffers(), model.state_dict().values(), strict=True):
            if value.is_floating_point():
                mean.lerp_(value, 1 - self.decay)
            else:
                mean.copy_(value)

    @contextmanager
    def scoring(self, model: Classifier) -> Iterator[None]:
        own = {name: value.clone() for name, value in model.state_dict().items()}
        model.load_state_dict(dict(zip(own, self.buffers(), strict=True)))
        yield
        model.load_state_dict(own)


@dataclass(frozen=True)
class Ema(Trick):
    """Keep an exponential moving average of the weights, which starts from the first ones.

    It remembers about ``1 / (1 - decay)`` steps: fewer than a training has.
    """

    name: ClassVar[str] = "ema"
    family: ClassVar[str] = "regularisation"
    citation: ClassVar[str] = "Polyak & Juditsky 1992, Acceleration of stochastic approximation"
    space: ClassVar[Space] = {"decay": FloatDistribution(0.8, 0.99)}
    defaults: ClassVar[Settings] = {"decay": 0.9}

    def amend(self, recipe: Recipe, task: Task, hp: Settings, run: Run) -> Recipe:
        average = MovingAverage(hp["decay"])
        return replace(recipe, regularisers=[*recipe.regularisers, average])


@hookimpl
def harness_tricks() -> list[type[Trick]]:
    return [Ema]
