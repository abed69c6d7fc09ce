"""Gradual unfreezing: the last block first, then one more at a time, earlier ones more slowly."""

from dataclasses import dataclass, replace
from typing import ClassVar

from harness.api import FloatDistribution, GradientStrategy, Recipe, fit, hookimpl


@dataclass(frozen=True)
class GradualUnfreezing(GradientStrategy):
    """Train from the last block, then from the one before it, and so on; all stages take as many
    steps, and each block has a rate of ``factor`` times that of the one after it."""

    name: ClassVar[str] = "gradual_unfreezing"
    citation: ClassVar[str] = "Howard & Ruder 2018, Universal language model fine-tuning"
    space: ClassVar = {**GradientStrategy.space, "factor": FloatDistribution(0.2, 1.0)}
    defaults: ClassVar = {**GradientStrategy.defaults, "factor": 1 / 2.6}

    def recipe(self, backbone, task, hp, run):
        last = len(backbone.blocks)
        steps = run.steps // (last + 1)
        stage = self._stage(backbone, last, hp, steps)  # the head alone
        for first in range(last - 1, -1, -1):
            model = fit(stage, replace(task, val=None), run)
            stage = self._stage(model.backbone, first, hp, steps, model.head)
            stage = replace(stage, steps_before=steps * (last - first))
        return stage

    def _stage(self, backbone, first, hp, steps, head=None):
        names, last = backbone.parameters_from(first), len(backbone.blocks)
        rates = {n: hp["lr"] * hp["factor"] ** (last - backbone.block_of(n)) for n in names}
        return Recipe(backbone, names, lr={"head": hp["lr"], **rates}, head=head, steps=steps)


@hookimpl
def harness_strategies():
    return [GradualUnfreezing]
