"""What trials are scored on, and by what measure the best of them is selected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from harness.data.examples import Inputs
from harness.data.task import Measure, Task
from harness.model.importance import importance
from harness.predictor import Predictor

Score = tuple[float, float]
"""A value and a loss, negated: more is better, first of the first."""


@dataclass(frozen=True)
class Validation:
    """What a trial is scored on: episodes, or one task with its validation examples."""

    tasks: list[Task]
    inputs: list[Inputs]
    labels: list[Tensor]
    measure: Measure

    def score(self, logits: Sequence[Tensor], predictor: Predictor | None = None) -> Score:
        """What answers to all tasks are worth: ``logits`` float ``[N, outputs]`` of each, on the
        CPU.

        A weighted measure asks ``predictor``, which gave them, for features too.

        Episodes ask for as many answers each, so that this is the mean over them; taken over the
        answers, those that are right as often have the very same value, and the loss decides.
        """
        weights = [] if predictor is None else importance(self.measure, predictor, self.tasks[0])
        value, loss = self.measure.of(torch.cat([*logits]), torch.cat(self.labels), *weights)
        return value, -loss
