"""BN tune: of the backbone, only the weights and biases of batch norms train."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from harness.api import (
    Backbone,
    BatchNorm,
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

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


@dataclass(frozen=True)
class BnTune(GradientStrategy):
    """Train the weight and the bias of each batch norm, and the head; all else stays as it is.

    Norms normalise by the batch while they train, and their running statistics follow the task's,
    whatever the suite says of batch norm. The paper does so on random weights; here, as for every
    strategy, they are the source's, and the head is new. Rates are those of ``bitfit``, which
    trains about as few numbers. Weight decay is the head's: norms have none.
    """

    name: ClassVar[str] = "bn_tune"
    family: ClassVar[str] = "parameter-efficient fine-tuning"
    citation: ClassVar[str] = "Frankle et al. 2021, Training BatchNorm and only BatchNorm"
    batch_norm: ClassVar[BatchNorm | None] = "train"
    space: ClassVar[Space] = {
        **GradientStrategy.space,
        "lr": FloatDistribution(3e-4, 3e-2, log=True),
    }
    defaults: ClassVar[Settings] = {**GradientStrategy.defaults, "lr": 3e-3}

    def recipe(self, backbone: Backbone, task: Task, hp: Settings, run: Run) -> Recipe:
        norms = {name for name, module in backbone.named_modules() if isinstance(module, NORMS)}
        names = [n for n, _ in backbone.body_parameters() if n.rpartition(".")[0] in norms]
        if not names:
            raise Unsupported(
                "bn_tune trains batch norms, and this model has none: bitfit trains biases of any"
            )
        return Recipe(
            backbone,
            names,
            lr=hp["lr"],
            weight_decay=hp["weight_decay"],
            batch_norm=self.batch_norm,
        )


@hookimpl
def harness_strategies() -> list[type[Strategy]]:
    return [BnTune]
