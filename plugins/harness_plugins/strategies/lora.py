"""LoRA: the weights stay as they are; a product of two thin matrices is added to each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook

from harness.api import (
    Backbone,
    FloatDistribution,
    GradientStrategy,
    Inputs,
    IntDistribution,
    Recipe,
    Run,
    Settings,
    Space,
    Strategy,
    Task,
    Unsupported,
    hookimpl,
)


@dataclass(frozen=True)
class Lora(GradientStrategy):
    """Train a low-rank change ``B A`` of every linear and convolution weight, and the head.

    A linear layer's ``A`` is ``[rank, in]`` and its ``B`` ``[out, rank]``; a convolution's ``A``
    is a convolution to ``rank`` channels with the layer's own kernel, and its ``B`` one of 1×1.
    ``B`` starts at zero, so that training starts from the source's model.

    The paper scales the change by α/rank, and finds that α does little that the learning rate
    does not. Here α is the rank, so that the scale is 1 whatever the rank, and the rate, which
    is tuned, is the only one to set it. The default is within a point of the best that the
    reference comparisons tried, and the space ends before training goes astray
    (docs/explanation/defaults.md).

    Left as they are: grouped and dilated convolutions and those that don't pad with zeros,
    subclasses of the two layers, and layers whose weight is read by another module that does
    not call them, as in ``nn.MultiheadAttention``.
    """

    name: ClassVar[str] = "lora"
    family: ClassVar[str] = "parameter-efficient fine-tuning"
    citation: ClassVar[str] = "Hu et al. 2022, LoRA: Low-Rank Adaptation"
    requires: ClassVar[Mapping[str, str]] = {"peft": "transfer-harness[peft]"}
    space: ClassVar[Space] = {
        "lr": FloatDistribution(3e-4, 1e-2, log=True),
        "weight_decay": FloatDistribution(1e-5, 1e-1, log=True),
        "rank": IntDistribution(1, 64, log=True),
    }
    defaults: ClassVar[Settings] = {"lr": 3e-3, "weight_decay": 1e-4, "rank": 8}

    def recipe(self, backbone: Backbone, task: Task, hp: Settings, run: Run) -> Recipe:
        """What trains: the adapters put into a copy of ``backbone``.

        Raises:
            Unsupported: the model has no layer that an adapter fits.
        """
        from peft import LoraConfig, inject_adapter_in_model

        targets = adaptable(backbone, task.train.inputs)
        if not targets:
            raise Unsupported("lora adapts nn.Linear and nn.Conv2d layers; this model has none")
        config = LoraConfig(
            r=hp["rank"],
            lora_alpha=hp["rank"],
            target_modules="|".join(map(re.escape, targets)),  # matched in full, unlike a list's
        )

        def edit(body: nn.Module) -> None:
            inject_adapter_in_model(config, body)

        with run.seeded("lora"):
            adapted = backbone.edited(edit)
        original = set(backbone.parameters())
        added = [name for name, p in adapted.body_parameters() if p not in original]
        return Recipe(adapted, added, lr=hp["lr"], weight_decay=hp["weight_decay"])


@torch.no_grad()
def adaptable(backbone: Backbone, inputs: Inputs) -> list[str]:
    """Names within the body of the layers that an adapter fits, and that are called.

    Found by running the model on one input. The hook is a global one, because PyTorch's own
    transformer layers take another path when they have hooks.
    """
    called: set[nn.Module] = set()

    def note(module: nn.Module, args: Any) -> None:
        called.add(module)

    hook = register_module_forward_pre_hook(note)
    try:
        backbone.features(inputs[:1])
    finally:
        hook.remove()
    modules = backbone.body.named_modules()
    return [name for name, module in modules if name and module in called and _fits(module)]


def _fits(module: nn.Module) -> bool:
    """Whether peft's adapter computes what this layer with another weight would."""
    if type(module) is nn.Conv2d:
        return module.groups == 1 and module.dilation == (1, 1) and module.padding_mode == "zeros"
    return type(module) is nn.Linear


@hookimpl
def harness_strategies() -> list[type[Strategy]]:
    return [Lora]
