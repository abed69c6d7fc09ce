"""Distillation: learn what another model answers, beside the labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from harness.api import (
    Batch,
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
from harness_plugins.strategies.logistic_probe import LogisticProbe


class Answers(Regulariser):
    """``weight · temperature²`` times the divergence KL(teacher ‖ student) of what both answer to a
    batch at a temperature (equation 1, and section 2 for the square)."""

    answers: Tensor

    def __init__(
        self, teacher: str, task: Task, run: Run, *, temperature: float, weight: float
    ) -> None:
        super().__init__()
        self.teacher, self.task, self.run = teacher, task, run
        self.temperature, self.weight = temperature, weight

    def started(self, model: Classifier) -> None:
        """Ask the teacher: here, so that who only comes back from disk needs none."""
        teacher, train = self.run.backbone(self.teacher), self.task.train
        train = replace(train, inputs=teacher.inputs(train.inputs))
        theirs = replace(self.task, train=train, val=None)
        probe = LogisticProbe().adapt(teacher.backbone, theirs, LogisticProbe.defaults, self.run)
        self.register_buffer("answers", probe.logits(train.inputs))

    def penalty(self, batch: Batch) -> Tensor:
        theirs = batch.look_up((self.answers / self.temperature).log_softmax(1), logs=True)
        mine = (batch.logits.float() / self.temperature).log_softmax(1)
        apart = F.kl_div(mine, theirs, log_target=True, reduction="batchmean")
        return self.weight * self.temperature**2 * apart


@dataclass(frozen=True)
class Distill(Trick):
    """Come near the softened answers of ``teacher``, another backbone of the suite.

    It is named by its label, and may have another architecture and ``compared = false``.

    It answers by a logistic regression on its features, of the same training examples, and of each
    as it is, not of views of it; of a mixture, it answers with its parts' probabilities, mixed. The
    loss of the labels counts once, that of the answers ``weight`` times. The paper tries
    temperatures from 1 to 20, and finds 2.5 to 4 best for the smallest students.
    """

    teacher: str = "teacher"

    name: ClassVar[str] = "distill"
    family: ClassVar[str] = "loss"
    citation: ClassVar[str] = (
        "Hinton et al. 2015, Distilling the knowledge in a neural network, arXiv"
    )
    space: ClassVar[Space] = {
        "temperature": FloatDistribution(1.0, 20.0, log=True),
        "weight": FloatDistribution(0.1, 10.0, log=True),
    }
    defaults: ClassVar[Settings] = {"temperature": 4.0, "weight": 1.0}

    def backbones(self) -> Mapping[str, str]:
        return {"teacher": self.teacher}

    def amend(self, recipe: Recipe, task: Task, hp: Settings, run: Run) -> Recipe:
        answers = Answers(
            self.teacher, task, run, temperature=hp["temperature"], weight=hp["weight"]
        )
        return replace(recipe, regularisers=[*recipe.regularisers, answers])


@hookimpl
def harness_tricks() -> list[type[Trick]]:
    return [Distill]
