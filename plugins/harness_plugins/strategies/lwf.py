"""Learning without forgetting: learn the task, and go on to answer as the source's model did."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor, nn

from harness.api import (
    Backbone,
    Batch,
    FloatDistribution,
    Recipe,
    Regulariser,
    Run,
    Settings,
    Source,
    Space,
    Strategy,
    Task,
    hookimpl,
)
from harness_plugins.strategies._source_head import source_head, source_logits, with_source_head
from harness_plugins.strategies.lp_ft import LpFt

TEMPERATURE = 2.0
"""Of the paper, section 3."""


class OldAnswers(Regulariser):
    """``weight`` times the cross-entropy between what the source's model answered to the training
    examples and what its head answers now, both at a temperature of 2 (equations 2 to 4). The head
    trains along.

    Args:
        answers: logits ``[n, source classes]``.
    """

    def __init__(self, head: nn.Linear, answers: Tensor, weight: float) -> None:
        super().__init__()
        self.head, self.weight = head, weight
        self.expected = (answers / TEMPERATURE).softmax(1)

    def penalty(self, batch: Batch) -> Tensor:
        told = (self.head(batch.features) / TEMPERATURE).log_softmax(1)
        agreed: Tensor = (batch.look_up(self.expected) * told).sum(1).mean()
        return -self.weight * agreed


@dataclass(frozen=True)
class Lwf(LpFt):
    """LP-FT, whose second stage keeps the answers of a head of the source's classes.

    They are its answers to the task's own training examples: none of the source is seen again.

    The paper too trains the new head first ("warm-up"), and then all parameters together, that old
    head's among them; it has a ``weight`` of 1. The head is fitted to the source once, by logistic
    regression, or is the classifier of published weights where there is no source. Answers are to
    each example as it is, not to views of it, and are mixed where inputs are.
    """

    name: ClassVar[str] = "lwf"
    family: ClassVar[str] = "staying near the source"
    citation: ClassVar[str] = "Li & Hoiem 2016, Learning without forgetting, ECCV"
    needs_source: ClassVar[bool] = True
    takes_source_head: ClassVar[bool] = True
    space: ClassVar[Space] = {**LpFt.space, "weight": FloatDistribution(0.1, 10.0, log=True)}
    defaults: ClassVar[Settings] = {**LpFt.defaults, "weight": 1.0}

    def prepare(
        self, backbone: Backbone, source: Source | None, hp: Settings, run: Run
    ) -> Backbone:
        return with_source_head(backbone, source, run)

    def recipe(self, backbone: Backbone, task: Task, hp: Settings, run: Run) -> Recipe:
        recipe = super().recipe(backbone, task, hp, run)
        answers = source_logits(backbone, task, task.train.inputs, run)
        old = OldAnswers(source_head(backbone), answers, hp["weight"])
        return replace(recipe, regularisers=[*recipe.regularisers, old])


@hookimpl
def harness_strategies() -> list[type[Strategy]]:
    return [Lwf]
