"""Tent: train on the source, then norms alone, so that predictions on the target are surer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from harness.api import (
    Backbone,
    Examples,
    FloatDistribution,
    GradientStrategy,
    Predictor,
    Recalibration,
    Recipe,
    Run,
    Settings,
    Space,
    Strategy,
    Task,
    Unsupported,
    fit,
    hookimpl,
)
from harness_plugins.strategies.source_only import SourceOnly

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.LayerNorm, nn.GroupNorm)


@dataclass(frozen=True)
class Tent(GradientStrategy):
    """Train all blocks on the source domain, then lower the entropy of predictions on the target.

    In the second stage norms alone train, their weight and bias, by batches of unlabelled target
    inputs, and batch norms normalise by the batch. Where the paper predicts for a batch, and goes
    on to learn from it, here what was learned predicts for one input at a time: with the target's
    statistics, over all its unlabelled inputs. The second stage has a quarter of the steps, and no
    tricks; its rate, ``tent_lr``, is ten times the paper's, whose training goes on as it predicts
    (docs/explanation/defaults.md).
    """

    name: ClassVar[str] = "tent"
    family: ClassVar[str] = "domain adaptation"
    citation: ClassVar[str] = (
        "Wang et al. 2021, Tent: Fully test-time adaptation by entropy minimization"
    )
    protocols: ClassVar[frozenset[str]] = frozenset({"adaptation"})
    space: ClassVar[Space] = {
        **SourceOnly.space,
        "tent_lr": FloatDistribution(1e-3, 1e-1, log=True),
    }
    defaults: ClassVar[Settings] = {**SourceOnly.defaults, "tent_lr": 1e-2}

    def recipe(self, backbone: Backbone, task: Task, hp: Settings, run: Run) -> Recipe:
        """Of the first stage."""
        return Recipe(
            backbone,
            backbone.parameters_from(0),
            lr=hp["lr"],
            weight_decay=hp["weight_decay"],
            steps=run.steps - second_stage(run.steps),
        )

    def adapt(self, backbone: Backbone, task: Task, hp: Settings, run: Run) -> Predictor:
        if task.unlabelled is None:
            raise Unsupported("tent needs unlabelled inputs of a target domain")
        names = norm_parameters(backbone)
        if not names:
            raise Unsupported("tent trains norms, and this model has none that trains")
        recipe = self._derived(backbone, task, hp, run)
        source = fit(recipe, replace(task, val=None), run)
        stage = Recipe(
            source.backbone,
            names,
            lr={"": hp["tent_lr"], "head": 0.0},
            head=source.head,
            criterion=entropy,
            regularisers=[Recalibration(task.unlabelled, run.batch_size)],
            steps=second_stage(run.steps),
            batch_norm="train",
        )
        nothing = torch.zeros(len(task.unlabelled), dtype=torch.int64, device=run.device)
        target = replace(
            task,
            train=Examples(task.unlabelled, nothing),
            val=None if task.unlabelled_val is None else task.val,
        )
        return fit(stage, target, run)


def second_stage(steps: int) -> int:
    """How many of ``steps`` lower the entropy."""
    return max(1, steps // 4)


def norm_parameters(backbone: Backbone) -> list[str]:
    """Names of norms' weights and biases."""
    owners = {name for name, module in backbone.named_modules() if isinstance(module, NORMS)}
    return [name for name, _ in backbone.body_parameters() if name.rpartition(".")[0] in owners]


def entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """The mean entropy in nats of predictions ``[b, classes]``, whatever the targets."""
    entropies: Tensor = torch.special.entr(logits.float().softmax(1))
    return entropies.sum(1).mean()


@hookimpl
def harness_strategies() -> list[type[Strategy]]:
    return [Tent]
