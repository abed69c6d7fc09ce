"""Distillation: learn from the softened answers of another model, which sees inputs of its own."""

from dataclasses import dataclass, replace
from typing import ClassVar

import torch.nn.functional as F

from harness.api import (
    GradientStrategy,
    Recipe,
    Regulariser,
    Strategy,
    fit,
    hookimpl,
    standardised_head,
)


class Answers(Regulariser):
    """The divergence from a teacher's answers to the training examples (equations 1 and 2)."""

    def __init__(self, logits, temperature):
        super().__init__()
        self.logits, self.temperature = logits, temperature

    def penalty(self, batch):
        theirs = batch.look_up((self.logits / self.temperature).log_softmax(1), logs=True)
        mine = (batch.logits / self.temperature).log_softmax(1)
        apart = F.kl_div(mine, theirs, log_target=True, reduction="batchmean")
        return self.temperature**2 * apart


@dataclass(frozen=True)
class Distillation(GradientStrategy):
    """Fine-tune towards what a linear probe on ``teacher``, another backbone, answers."""

    teacher: str = "teacher"
    temperature: float = 2.0

    name: ClassVar[str] = "distillation"
    citation: ClassVar[str] = "Hinton et al. 2015, Distilling the knowledge in a neural network"
    restore = Strategy.restore  # of the student, without its teacher

    def backbones(self):
        return {"teacher": self.teacher}

    def recipe(self, backbone, task, hp, run):
        teacher = run.backbone(self.teacher)
        train = replace(task.train, inputs=teacher.inputs(task.train.inputs))
        theirs = replace(task, train=train, val=None)
        head = standardised_head(teacher.backbone, theirs, run)
        steps = run.steps // 2  # for the teacher; the student has the others
        probe = fit(Recipe(teacher.backbone, (), lr=0.1, head=head, steps=steps), theirs, run)
        answers = Answers(probe.logits(train.inputs), self.temperature)
        names = backbone.parameters_from(0)
        steps = run.steps - steps
        return Recipe(backbone, names, lr=hp["lr"], regularisers=[answers], steps=steps)


@hookimpl
def harness_strategies():
    return [Distillation]
