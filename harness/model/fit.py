"""The one training loop. Strategies declare what trains; it sees for itself what is frozen."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.data.examples import Examples, Task
from harness.errors import Diverged, Unsupported
from harness.model.classifier import Classifier, Index, Recipe

if TYPE_CHECKING:
    from harness.api import Run

EVALUATIONS = 4
"""How often a trial is scored on validation, evenly spaced, the last time after the last step."""


def fit(recipe: Recipe, task: Task, run: Run) -> Classifier:
    """Train by mini-batch descent on cross-entropy and return the state that validated best.

    Without validation examples, as in an episode, or where domains are aligned, the last state is
    returned.

    Raises:
        Diverged: the loss, or a validation prediction, is not finite.
    """
    model = Classifier(recipe, task, run)
    objective = Objective(model, recipe, task, run)
    steps = min(recipe.steps or run.steps, run.steps)
    optimizer = _optimizer([*objective.parameters()], recipe)
    score_at = {math.ceil(steps * part / EVALUATIONS) for part in range(1, EVALUATIONS + 1)}
    best: tuple[tuple[float, float], dict[str, Tensor]] | None = None
    finite = torch.ones((), dtype=torch.bool, device=run.device)

    for step, loss in enumerate(objective.losses(steps), start=1):
        rate = 0.5 * (1 + math.cos(math.pi * (step - 1) / steps))
        for group in optimizer.param_groups:
            group["lr"] = recipe.lr * (rate if recipe.schedule == "cosine" else 1.0)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        finite &= loss.detach().isfinite()
        if step in score_at:
            with run.scoring():
                _require_finite(finite, step)
                if recipe.recalibrate:
                    recalibrate(model, task.train, run)
                if task.val is not None:
                    score = validate(model, task.val)
                    if recipe.align is None and (best is None or score > best[0]):
                        best = score, {name: t.clone() for name, t in model.state().items()}
                    run.report(step, score[0])
    if best is not None:
        model.restore(best[1])
    return model


class Objective:
    """What descent minimises: cross-entropy, a penalty, and the distance between domains."""

    def __init__(self, model: Classifier, recipe: Recipe, task: Task, run: Run) -> None:
        self._model, self._recipe, self._task, self._run = model, recipe, task, run
        self._align, self._target = copy.deepcopy(recipe.align), task.unlabelled
        if self._align is not None:
            if self._target is None:
                raise Unsupported("aligning domains needs unlabelled inputs of a target domain")
            self._align.to(run.device).train()

    def parameters(self) -> Iterator[nn.Parameter]:
        """Everything that trains."""
        yield from self._model.head.parameters()
        if self._model.backbone is not self._recipe.backbone:
            own = self._model.backbone.body_parameters()
            yield from (parameter for _, parameter in own if parameter.requires_grad)
        if self._align is not None:
            yield from self._align.parameters()

    def losses(self, steps: int) -> Iterator[Tensor]:
        """The loss of each step, a scalar, on a batch of its own."""
        run, train = self._run, self._task.train
        batches = batch_order(len(train), run.batch_size, steps, run.generator("batches"))
        passes = self._alone(batches) if self._align is None else self._aligned(batches, steps)
        for index, features, distance in passes:
            loss = F.cross_entropy(self._model.classify(features), train.labels[index]) + distance
            penalty = self._recipe.penalty
            yield loss if penalty is None else loss + penalty(self._model.backbone)

    def _alone(self, batches: Iterator[Index]) -> Iterator[tuple[Index, Tensor, Tensor | float]]:
        entering = self._model.entering(self._task.train.inputs)
        for index in batches:
            yield index, self._model.forward(entering, index), 0.0

    def _aligned(
        self, batches: Iterator[Index], steps: int
    ) -> Iterator[tuple[Index, Tensor, Tensor | float]]:
        model, run, inputs, target = self._model, self._run, self._task.train.inputs, self._target
        assert self._align is not None
        assert target is not None
        source, aside = model.entering(inputs), model.entering(target)
        if isinstance(source, Tensor) != isinstance(aside, Tensor):  # memory held just one of them
            source, aside = inputs, target
        others = batch_order(len(target), run.batch_size, steps, run.generator("target batches"))
        for step, (index, other) in enumerate(zip(batches, others, strict=True)):
            features, theirs = model.forward_both(source, index, aside, other)
            yield index, features, self._align(features, theirs, step / steps)


def validate(model: Classifier, examples: Examples) -> tuple[float, float]:
    """Accuracy (0–1) and the negative log loss (nats): higher is better, first by the first."""
    logits = model.logits(examples.inputs)
    if not logits.isfinite().all():
        raise Diverged("the model's predictions are not finite")
    accuracy = (logits.argmax(1) == examples.labels).double().mean().item()
    return accuracy, -F.cross_entropy(logits.double(), examples.labels).item()


def batch_order(
    examples: int, batch_size: int, steps: int, generator: torch.Generator
) -> Iterator[Index]:
    """Indices of ``steps`` batches, drawn epoch by epoch without replacement.

    Every batch is full: an epoch's remainder opens the next batch. Where all examples fit in
    one batch, it is all of them, in order.
    """
    if examples <= batch_size:
        yield from (slice(None) for _ in range(steps))
        return
    waiting = torch.empty(0, dtype=torch.int64)
    for _ in range(steps):
        if len(waiting) < batch_size:
            waiting = torch.cat([waiting, torch.randperm(examples, generator=generator)])
        batch, waiting = waiting[:batch_size], waiting[batch_size:]
        yield batch


@torch.no_grad()
def recalibrate(model: Classifier, examples: Examples, run: Run) -> None:
    """Set trained batch norms' statistics to the training inputs' under the present weights."""
    norms = [
        module
        for module in model.backbone.modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.training
    ]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over the batches
    entering = model.entering(examples.inputs)
    for start in range(0, len(examples), run.batch_size):
        model.forward(entering, slice(start, start + run.batch_size))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def _optimizer(parameters: Sequence[nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=recipe.lr)
    return torch.optim.AdamW(groups, lr=recipe.lr, fused=True)


def _require_finite(finite: Tensor, step: int) -> None:
    if not finite.item():
        raise Diverged(f"the loss is not a number by step {step}")
