"""The one training loop. Strategies declare what trains; it sees for itself what is frozen."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, tee
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.data.examples import Examples, Task
from harness.data.resident import held
from harness.errors import Diverged, Unsupported
from harness.model.classifier import Classifier, Entering, Index, Recipe, there
from harness.model.normalisation import recalibrate, slices, trained_norms
from harness.model.training import LossGuard, Part, Training, cosine, set_rate

if TYPE_CHECKING:
    from harness.api import Run


def fit(recipe: Recipe, task: Task, run: Run) -> Classifier:
    """Train by mini-batch descent on cross-entropy and return the state that validated best.

    Validation is scored ``run.evaluations`` times, evenly spaced, the last time after the last
    step; training ends before, where ``run.patience`` of them were no better. Without validation
    examples, as in an episode, or where domains are aligned, the last state is returned.

    Raises:
        Diverged: the loss, or a validation prediction, is not finite.
        Unsupported: batch norm trains, and a batch has one example.
    """
    model = Classifier(recipe, task, run)
    _refuse_batches_of_one(model, recipe, task, run)
    objective = Objective(model, recipe, task, run)
    steps = min(recipe.steps or run.steps, run.steps)
    optimizer = _optimizer([*objective.parameters()], recipe)
    score_at = evaluation_steps(steps, run.evaluations)
    best = Best()
    training = Training(model=model, optimizer=optimizer, best=best, **objective.parts())
    guard = LossGuard(run.device, steps)
    done = run.resume(training)

    for step, losses in enumerate(objective.losses(steps, done), start=done + 1):
        optimizer.zero_grad(set_to_none=True)
        total = torch.zeros((), device=run.device)
        for loss in losses:
            loss.backward()
            total += loss.detach()
        guard.check(step, total)
        share = cosine(step - 1, steps) if recipe.schedule == "cosine" else 1.0
        set_rate(optimizer, recipe.lr * share)
        optimizer.step()
        if step in score_at:
            with run.scoring():
                if recipe.recalibrate:
                    recalibrate(model, task.train, run)
                if task.val is not None:
                    score = validate(model, task.val)
                    if recipe.align is None:
                        best.offer(score, model)
                    run.report(step, score[0])
        run.keep(step, training)
        if run.patience is not None and best.misses >= run.patience:
            break
    if best.score is not None:
        model.load_state_dict(best.state)
    return model


def _refuse_batches_of_one(model: Classifier, recipe: Recipe, task: Task, run: Run) -> None:
    """Before the first step, as torch finds it out in the midst of one, or not at all. Domains
    that are aligned go through the model together, and are several."""
    if recipe.align is not None or not trained_norms(model):
        return
    why = "batch norm trains on how the examples of a batch differ, and here a batch has one"
    if len(task.train) == 1:
        raise Unsupported(f"{why}: give more than one training example")
    if run.batch_size == 1:
        raise Unsupported(f"{why}: raise batch_size to 2 or more")


def evaluation_steps(steps: int, evaluations: int) -> set[int]:
    """After which of ``steps`` validation is scored."""
    return {math.ceil(steps * part / evaluations) for part in range(1, evaluations + 1)}


@dataclass
class Best:
    """The state that validated best so far, its score, and how many have missed it since."""

    score: tuple[float, float] | None = None
    state: dict[str, Tensor] = field(default_factory=dict)
    misses: int = 0

    def offer(self, score: tuple[float, float], model: Classifier) -> None:
        self.misses += 1
        if self.score is None or score > self.score:
            self.score, self.misses = score, 0
            self.state = {name: t.clone() for name, t in model.state_dict().items()}

    def state_dict(self) -> dict[str, Any]:
        return {"score": self.score, "state": self.state, "misses": self.misses}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.score, self.state, self.misses = state["score"], state["state"], state["misses"]


class Objective:
    """What descent minimises: cross-entropy, a penalty, and the distance between domains."""

    def __init__(self, model: Classifier, recipe: Recipe, task: Task, run: Run) -> None:
        self._model, self._recipe, self._task, self._run = model, recipe, task, run
        self._align, self._target = copy.deepcopy(recipe.align), task.unlabelled
        self._views = run.generator("views")
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

    def parts(self) -> dict[str, Part]:
        """What training changes besides the model."""
        parts: dict[str, Part] = {"views": self._views}
        return parts if self._align is None else {**parts, "align": self._align}

    def losses(self, steps: int, done: int) -> Iterator[Iterable[Tensor]]:
        """The loss of each step after the first ``done``, on a batch of its own: scalars that add
        up to it, one for each part of the batch that goes through the model at once."""
        run, examples = self._run, len(self._task.train)
        order = batch_order(examples, run.batch_size, steps, run.generator("batches"))
        batches = islice(order, done, None)
        if self._align is not None:
            return self._aligned(batches, steps, done)
        return self._alone(batches)

    def _alone(self, batches: Iterator[Index]) -> Iterator[Iterable[Tensor]]:
        """In parts of as many examples as may go through the model at once."""
        model, run, inputs = self._model, self._run, self._task.train.inputs
        # Of views, which differ from step to step, nothing can be stored.
        entering = Entering(inputs, None) if run.augment else model.entering(inputs)
        if entering.stored is None:
            entering = Entering(held(inputs), None)
        several = bool(trained_norms(model))
        order, ahead = tee(batches)
        for index, batch in zip(order, entering.stream(ahead), strict=True):
            labels = self._task.train.labels[there(index, run.device)]
            shown = batch if run.augment is None else run.augment(batch, self._views)
            sizes = slices(len(batch), run.at_once, several=several)
            parts = zip(shown.split(sizes), labels.split(sizes), strict=True)
            yield (
                self._loss(model.forward(part, stored=entering.stored is not None), answers)
                * (len(part) / len(batch))
                for part, answers in parts
            )

    def _loss(self, features: Tensor, labels: Tensor) -> Tensor:
        loss = F.cross_entropy(self._model.classify(features), labels)
        penalty = self._recipe.penalty
        return loss if penalty is None else loss + penalty(self._model.backbone)

    def _aligned(
        self, batches: Iterator[Index], steps: int, done: int
    ) -> Iterator[Iterable[Tensor]]:
        """In one part: a distance between halves of two batches is another one. Both go through
        the model as one batch, as batch norm sees them."""
        model, run, inputs, target = self._model, self._run, self._task.train.inputs, self._target
        assert self._align is not None
        assert target is not None
        source, aside = Entering(inputs, None), Entering(target, None)
        if run.augment is None:
            source, aside = model.entering(inputs), model.entering(target)
            if (source.stored is None) != (aside.stored is None):  # memory held just one of them
                source, aside = Entering(inputs, None), Entering(target, None)
        order, ahead = tee(batches)
        others = batch_order(len(target), run.batch_size, steps, run.generator("target batches"))
        theirs = aside.stream(islice(others, done, None))
        loaded = zip(order, source.stream(ahead), theirs, strict=True)
        for step, (index, batch, other) in enumerate(loaded, start=done):
            both = torch.cat([batch, other])
            shown = both if run.augment is None else run.augment(both, self._views)
            features, aligned = model.forward(shown, stored=source.stored is not None).split(
                [len(batch), len(other)]
            )
            labels = self._task.train.labels[there(index, run.device)]
            yield [self._loss(features, labels) + self._align(features, aligned, step / steps)]


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


def _optimizer(parameters: Sequence[nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=recipe.lr)
    return torch.optim.AdamW(groups, lr=recipe.lr, fused=True)
