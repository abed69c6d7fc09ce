"""EMA: score and keep a moving average of the weights."""

from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

from harness.api import FloatDistribution, GradientStrategy, Recipe, Regulariser, hookimpl


class MovingAverage(Regulariser):
    """Of all that training changes; what is no float, such as a count, is as it was last."""

    def __init__(self, decay):
        super().__init__()
        self.decay = decay

    def started(self, model):
        for number, value in enumerate(model.state_dict().values()):
            self.register_buffer(f"mean{number}", value.clone())

    def stepped(self, model):
        for mean, value in zip(self.buffers(), model.state_dict().values(), strict=True):
            if value.is_floating_point():
                mean.lerp_(value, 1 - self.decay)
            else:
                mean.copy_(value)

    @contextmanager
    def scoring(self, model):
        own = {name: value.clone() for name, value in model.state_dict().items()}
        model.load_state_dict(dict(zip(own, self.buffers(), strict=True)))
        yield
        model.load_state_dict(own)


@dataclass(frozen=True)
class FinetuneEma(GradientStrategy):
    """Full fine-tuning, of whose weights a moving average is kept."""

    name: ClassVar[str] = "finetune_ema"
    citation: ClassVar[str] = "Polyak & Juditsky 1992, Acceleration of stochastic approximation"
    space: ClassVar = {**GradientStrategy.space, "decay": FloatDistribution(0.5, 0.99)}
    defaults: ClassVar = {**GradientStrategy.defaults, "decay": 0.9}

    def recipe(self, backbone, task, hp, run):
        everything, average = backbone.parameters_from(0), MovingAverage(hp["decay"])
        return Recipe(backbone, everything, lr=hp["lr"], regularisers=[average])


@hookimpl
def harness_strategies():
    return [FinetuneEma]
