"""ADDA: train on the source, then so that an adversary takes target features for the source's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.api import (
    Backbone,
    Batch,
    Examples,
    FloatDistribution,
    GradientStrategy,
    Predictor,
    Recipe,
    Run,
    Settings,
    Space,
    Strategy,
    Task,
    Unsupported,
    fit,
    hookimpl,
    sent,
)
from harness_plugins.strategies._adversary import Adversary
from harness_plugins.strategies.source_only import SourceOnly


@dataclass(frozen=True)
class Adda(GradientStrategy):
    """Train all blocks on the source domain, then on the target to pass for the source.

    In the second half of the steps an adversary learns to tell features of target inputs from those
    that the model of the first half gives of source inputs, and all blocks learn to be taken for
    these; the head stays as it is, and tricks amend the first half alone. The adversary has one
    hidden layer of ``width`` units, as that of ``dann``, where the paper's has two, and learns at
    the same rate, ``adda_lr``: 2e-4 is customary with Adam since DCGAN (Radford et al. 2016).
    """

    width: int = 100

    name: ClassVar[str] = "adda"
    family: ClassVar[str] = "domain adaptation"
    citation: ClassVar[str] = "Tzeng et al. 2017, Adversarial discriminative domain adaptation"
    protocols: ClassVar[frozenset[str]] = frozenset({"adaptation"})
    space: ClassVar[Space] = {
        **SourceOnly.space,
        "adda_lr": FloatDistribution(1e-5, 1e-3, log=True),
    }
    defaults: ClassVar[Settings] = {**SourceOnly.defaults, "adda_lr": 2e-4}

    def recipe(self, backbone: Backbone, task: Task, hp: Settings, run: Run) -> Recipe:
        """Of the first half."""
        return Recipe(
            backbone,
            backbone.parameters_from(0),
            lr=hp["lr"],
            weight_decay=hp["weight_decay"],
            steps=run.steps - second_half(run.steps),
        )

    def adapt(self, backbone: Backbone, task: Task, hp: Settings, run: Run) -> Predictor:
        if task.unlabelled is None:
            raise Unsupported("adda needs unlabelled inputs of a target domain")
        recipe = self._derived(backbone, task, hp, run)
        source = fit(recipe, replace(task, val=None), run)
        with run.seeded("adversary"):
            features = source.features(task.train.inputs)
            adversary = Deceived(features, self.width)
        stage = Recipe(
            source.backbone,
            source.backbone.parameters_from(0),
            lr={"": hp["adda_lr"], "head": 0.0},
            head=source.head,
            criterion=nothing,
            regularisers=[adversary],
            steps=second_half(run.steps),
        )
        labels = torch.zeros(len(task.unlabelled), dtype=torch.int64, device=run.device)
        target = replace(
            task,
            train=Examples(task.unlabelled, labels),
            val=None if task.unlabelled_val is None else task.val,
        )
        return fit(stage, target, run)


class Deceived(Adversary):
    """Tells ``source`` features ``[n, D]`` from those of a batch, which learn to pass for such."""

    unlabelled: ClassVar[bool] = False

    def __init__(self, source: Tensor, width: int) -> None:
        super().__init__(source.shape[1], width, weight=0.0)
        self.source = source

    def penalty(self, batch: Batch) -> Tensor:
        drawn = torch.randint(len(self.source), (len(batch),), generator=batch.generator)
        source = self.source[sent(drawn, batch.features.device)]
        telling = self.loss(source, batch.features.detach(), batch.progress)
        return telling + self.deceiving(batch.features)

    def deceiving(self, target: Tensor) -> Tensor:
        """The cross-entropy in nats of the adversary's answers with the labels turned round
        (equation 9): of its own weights, which are as they are, it has no gradient."""
        held = {name: parameter.detach() for name, parameter in self.classify.named_parameters()}
        answers: Tensor = torch.func.functional_call(self.classify, held, (target,))
        return F.binary_cross_entropy_with_logits(answers, torch.ones_like(answers))


def second_half(steps: int) -> int:
    """How many of ``steps`` adapt to the target."""
    return max(1, steps // 2)


def nothing(logits: Tensor, targets: Tensor) -> Tensor:
    """No loss, as targets have no labels: the adversary alone says what is learned."""
    return logits.new_zeros(())


@hookimpl
def harness_strategies() -> list[type[Strategy]]:
    return [Adda]
