"""What trials are scored on, and by what measure the best of them is selected."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.data.examples import Inputs, Task
from harness.metrics import information

Score = tuple[float, float]
"""A value and a loss, negated: more is better, first of the first."""


@dataclass(frozen=True)
class Measure:
    """Two numbers by name of logits ``[N, C]`` and labels int64 ``[N]``, both on the CPU: a value,
    of which more is better, and a loss in nats, of which less is; it breaks ties."""

    value: str
    loss: str
    of: Callable[[Tensor, Tensor], tuple[float, float]]


def _accuracy(logits: Tensor, labels: Tensor) -> tuple[float, float]:
    accuracy = (logits.argmax(1) == labels).double().mean().item()
    return accuracy, F.cross_entropy(logits.double(), labels).item()


def _information(logits: Tensor, labels: Tensor) -> tuple[float, float]:
    """Looks at no label."""
    return information(logits)


ACCURACY = Measure("accuracy", "log_loss", _accuracy)
INFORMATION = Measure("information", "entropy", _information)


@dataclass(frozen=True)
class Validation:
    """What a trial is scored on: episodes, or one task with its validation examples."""

    tasks: list[Task]
    inputs: list[Inputs]
    labels: list[Tensor]
    measure: Measure = ACCURACY

    def score(self, logits: Sequence[Tensor]) -> Score:
        """What answers to all tasks are worth: ``logits`` float ``[N, C]`` of each, on the CPU.

        Episodes ask for as many answers each, so that this is the mean over them; taken over the
        answers, those that are right as often have the very same value, and the loss decides.
        """
        value, loss = self.measure.of(torch.cat([*logits]), torch.cat(self.labels))
        return value, -loss
