"""(IA)³: the weights stay as they are; what each layer gives is scaled by learned factors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from harness.api import (
    Backbone,
    FloatDistribution,
    GradientStrategy,
    Recipe,
    Run,
    Settings,
    Space,
    Strategy,
    Task,
    Unsupported,
    hookimpl,
)
from harness_plugins.strategies.lora import adaptable


@dataclass(frozen=True)
class Ia3(GradientStrategy):
    """Train a factor for every unit of linear layers and channel of convolutions, and the head.

    Factors start at 1, so that training starts from the source's model. The paper scales keys,
    values and the middle of feed-forward layers of a transformer; here, where a model may be any,
    it is what each layer gives to which ``lora`` would add. Weight decay is the head's alone: it
    would pull factors to 0, and not to where they started. The default rate is the paper's.
    """

    name: ClassVar[str] = "ia3"
    family: ClassVar[str] = "parameter-efficient fine-tuning"
    citation: ClassVar[str] = "Liu et al. 2022, Few-shot parameter-efficient fine-tuning is better"
    requires: ClassVar[Mapping[str, str]] = {"peft": "transfer-harness[peft]"}
    space: ClassVar[Space] = {
        **GradientStrategy.space,
        "lr": FloatDistribution(3e-4, 1e-2, log=True),
    }
    defaults: ClassVar[Settings] = {**GradientStrategy.defaults, "lr": 3e-3}

    def recipe(self, backbone: Backbone, task: Task, hp: Settings, run: Run) -> Recipe:
        from peft import IA3Config, inject_adapter_in_model

        targets = adaptable(backbone, task.train.inputs)
        if not targets:
            raise Unsupported("ia3 scales nn.Linear and nn.Conv2d layers; this model has none")
        config = IA3Config(
            target_modules="|".join(map(re.escape, targets)),  # matched in full, unlike a list's
            feedforward_modules=[],
        )

        def edit(body: nn.Module) -> None:
            inject_adapter_in_model(config, body)

        with run.seeded("ia3"):  # it draws factors before it sets them to 1
            scaled = backbone.edited(edit)
        original = set(backbone.parameters())
        added = [name for name, p in scaled.body_parameters() if p not in original]
        decay = {"head": hp["weight_decay"], "": 0.0}
        return Recipe(scaled, added, lr=hp["lr"], weight_decay=decay)


@hookimpl
def harness_strategies() -> list[type[Strategy]]:
    return [Ia3]
