"""StochNorm: batch norms that use the batch's statistics or the running ones, drawn by channel."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from harness.api import (
    Backbone,
    FloatDistribution,
    HarnessError,
    Recipe,
    Run,
    Settings,
    Space,
    Task,
    Trick,
    hookimpl,
)


class Stochastic(_BatchNorm):
    """A batch norm that draws, for each channel and step, whose statistics it takes: with a chance
    of ``share`` the batch's. It is put before another class of batch norms, which may do more, such
    as an activation: :func:`stochastic`.

    Without gradients nothing is drawn: that is how statistics are pooled, which are the batches'.
    """

    share: float

    def forward(self, input: Tensor) -> Tensor:
        if not (self.training and torch.is_grad_enabled()):
            return super().forward(input)
        with self._predicting():
            running = super().forward(input)
        own = super().forward(input)  # after the other: it moves the running statistics
        drawn = torch.rand(self.num_features, device=input.device) < self.share
        return torch.where(drawn.view(-1, *[1] * (input.ndim - 2)), own, running)

    @contextmanager
    def _predicting(self) -> Iterator[None]:
        """Evaluation mode, with statistics that stay: the pass backwards looks at them again."""
        moving = self.running_mean, self.running_var
        assert moving[0] is not None
        assert moving[1] is not None
        self.training = False
        self.running_mean, self.running_var = moving[0].clone(), moving[1].clone()
        try:
            yield
        finally:
            self.training = True
            self.running_mean, self.running_var = moving


def stochastic(norm: type[_BatchNorm]) -> type[Stochastic]:
    """The class of a batch norm whose statistics are drawn."""
    return type(f"Stochastic{norm.__name__}", (Stochastic, norm), {})


@dataclass(frozen=True)
class StochNorm(Trick):
    """Normalise each channel by the statistics of the batch or by the running ones, at random.

    Those of the batch have a chance of ``share``, drawn anew in each step; predictions are made
    with the running ones.

    With few examples the batch's own tell too much of which these are. Batch norms train, whatever
    the suite says, weight and bias included where the strategy trains them. The paper takes 0.5.
    """

    name: ClassVar[str] = "stochnorm"
    family: ClassVar[str] = "regularisation"
    citation: ClassVar[str] = "Kou et al. 2020, Stochastic normalization, NeurIPS"
    space: ClassVar[Space] = {"share": FloatDistribution(0.1, 0.9)}
    defaults: ClassVar[Settings] = {"share": 0.5}

    def check_backbone(self, backbone: Backbone) -> None:
        if not norms(backbone.body):
            raise HarnessError(
                "stochnorm draws the statistics of batch norms, and this model has none",
                "Take a model with batch norms, or leave the trick out",
            )

    def amend(self, recipe: Recipe, task: Task, hp: Settings, run: Run) -> Recipe:
        """Put the draws into a copy of the backbone.

        Raises:
            HarnessError: it has no batch norm, or none that trains.
        """
        self.check_backbone(recipe.backbone)
        training = {name.rpartition(".")[0] for name in recipe.trainable}
        if not any(f"body.{name}" in training for name in norms(recipe.backbone.body)):
            raise HarnessError(
                "stochnorm draws the statistics of batch norms that train, and here none does",
                "Leave the trick out for this strategy",
            )

        def edit(body: nn.Module) -> None:
            for norm in norms(body).values():
                norm.__class__ = stochastic(type(norm))
                norm.share = hp["share"]

        return replace(recipe, backbone=recipe.backbone.edited(edit), batch_norm="train")


def norms(body: nn.Module) -> dict[str, _BatchNorm]:
    """The batch norms that have running statistics, by name."""
    return {
        name: module
        for name, module in body.named_modules()
        if isinstance(module, _BatchNorm) and module.track_running_stats
    }


@hookimpl
def harness_tricks() -> list[type[Trick]]:
    return [StochNorm]
