"""Adapters: the weights stay as they are; a bottleneck adds to what each layer gives."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from torch import Tensor, nn

from harness.api import (
    Backbone,
    FloatDistribution,
    GradientStrategy,
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
from harness_plugins.strategies.lora import adaptable


@dataclass(frozen=True)
class Adapter(GradientStrategy):
    """Train a bottleneck behind every linear layer and convolution, and the head.

    What a layer of ``d`` units or channels gives goes through a map to ``width`` of them, or to
    ``d`` where that is less, a GELU and a map back, and is added to itself. The maps are linear,
    or convolutions of 1×1, with biases. The second starts at zero, so that training starts from the
    source's model.

    The paper has two adapters in each block of a transformer, behind the projection of its
    attention and behind its feed-forward layers, and trains layer norms along; Rebuffi et al. 2017
    (Learning multiple visual domains with residual adapters) have one of 1×1 behind each
    convolution of a residual network. Here, where a model may be any, it is each layer to which
    ``lora`` would add, and norms stay as they are. The rate is the best of three, or within a point
    of it, on CIFAR-10 and MNIST (docs/explanation/defaults.md).
    """

    name: ClassVar[str] = "adapter"
    family: ClassVar[str] = "parameter-efficient fine-tuning"
    citation: ClassVar[str] = "Houlsby et al. 2019, Parameter-efficient transfer learning for NLP"
    space: ClassVar[Space] = {
        **GradientStrategy.space,
        "lr": FloatDistribution(1e-4, 1e-2, log=True),
        "width": IntDistribution(1, 64, log=True),
    }
    defaults: ClassVar[Settings] = {**GradientStrategy.defaults, "lr": 1e-3, "width": 8}

    def recipe(self, backbone: Backbone, task: Task, hp: Settings, run: Run) -> Recipe:
        """What trains: the adapters put into a copy of ``backbone``.

        Raises:
            Unsupported: the model has no layer that an adapter fits.
        """
        layers = adaptable(backbone, task.train.inputs)
        if not layers:
            raise Unsupported("adapter adapts nn.Linear and nn.Conv2d layers; this model has none")

        def edit(body: nn.Module) -> None:
            for name in layers:
                layer = body.get_submodule(name)
                layer.adapter = bottleneck(layer, hp["width"])
                layer.register_forward_hook(add)

        with run.seeded("adapter"):
            adapted = backbone.edited(edit)
        original = set(backbone.parameters())
        added = [name for name, p in adapted.body_parameters() if p not in original]
        return Recipe(adapted, added, lr=hp["lr"], weight_decay=hp["weight_decay"])


def bottleneck(layer: nn.Module, width: int) -> nn.Sequential:
    """An adapter for what a linear layer or a convolution gives, whose answer is at first zero."""
    make = partial(nn.Conv2d, kernel_size=1) if isinstance(layer, nn.Conv2d) else nn.Linear
    weight = layer.weight
    assert isinstance(weight, Tensor)
    units = len(weight)
    down, up = make(units, min(width, units)), make(min(width, units), units)
    nn.init.zeros_(up.weight)
    assert up.bias is not None
    nn.init.zeros_(up.bias)
    return nn.Sequential(down, nn.GELU(), up).to(weight.device, weight.dtype)


def add(layer: Any, inputs: Any, output: Tensor) -> Tensor:
    """What a layer with its adapter gives, ``[b, …]`` as it gave."""
    adapted: Tensor = output + layer.adapter(output)
    return adapted


@hookimpl
def harness_strategies() -> list[type[Strategy]]:
    return [Adapter]
