"""Supervised pretraining: learn to tell the classes of the source apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch

from harness.api import Backbone, Pretraining, Recipe, Run, Source, Task, fit, hookimpl


@dataclass(frozen=True)
class Supervised(Pretraining):
    """Train all blocks on the labelled source, and keep the state that validates best.

    ``held_back`` is the share of source examples that validates.
    """

    name: ClassVar[str] = "supervised"

    held_back: float = 0.05

    def pretrain(
        self, backbone: Backbone, source: Source, run: Run, *, lr: float, weight_decay: float
    ) -> tuple[Backbone, Mapping[str, float]]:
        examples = source.examples
        order = torch.randperm(len(examples), generator=run.generator("held back"))
        cut = max(1, round(self.held_back * len(examples)))
        task = Task(
            examples.subset(order[cut:]), source.target, val := examples.subset(order[:cut])
        )
        recipe = Recipe(backbone, backbone.parameters_from(0), lr=lr, weight_decay=weight_decay)
        model = fit(recipe, task, run)
        correct = model.logits(val.inputs).argmax(1) == val.labels
        return model.backbone.eval(), {"accuracy": correct.double().mean().item()}


@hookimpl
def harness_pretrainings() -> list[type[Pretraining]]:
    return [Supervised]
