"""The one training loop. Strategies declare what trains; it sees for itself what is frozen."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.data.examples import Examples, Inputs, Task
from harness.errors import Diverged, Unsupported
from harness.model.backbone import Backbone, evaluating

if TYPE_CHECKING:
    from harness.api import Run

Index: TypeAlias = "Tensor | slice"
Entering: TypeAlias = "Tensor | Inputs"

EVALUATIONS = 4
"""How often a trial is scored on validation, evenly spaced, the last time after the last step."""

EVALUATION_BATCH = 256


@dataclass(frozen=True)
class Recipe:
    """What trains, from where, and under what penalty.

    Attributes:
        backbone: where training starts; it is copied before it is changed.
        trainable: names of its parameters that train. The head always does.
        lr: the peak learning rate of both; ``weight_decay`` spares biases and norms.
        head: a head to start from, ``Linear(num_features, classes)``; zeros by default, so that
            the first predictions favour no class.
        optimizer: AdamW (Loshchilov & Hutter 2019), or plain gradient descent.
        schedule: down to 0 along half a cosine, or the same rate throughout.
        steps: fewer optimiser steps than the budget allows.
        penalty: added to the loss, a scalar of the trained backbone.
        align: added to the loss under ``adaptation``. It is called with the features of a batch of
            the source ``[b, D]``, those of a batch of unlabelled inputs of the target, and the
            share of the training that is done (0–1), and gives a scalar; its parameters train
            along. Both batches go through the model as one. The last state is then the one that
            is kept: the source's validation does not tell how far the target has come.
        standardise: with a frozen backbone, centre the features and divide them by their root
            mean square, over the training inputs: one rate then suits every model. A single
            scale for all features, because few shots say too little about each.
        recalibrate: afterwards, set batch norm's running statistics to those of the training
            inputs under the final weights. After a handful of steps the running averages
            still are mostly the source's.
    """

    backbone: Backbone
    trainable: Collection[str]
    lr: float
    weight_decay: float = 0.0
    head: nn.Linear | None = None
    optimizer: Literal["adamw", "sgd"] = "adamw"
    schedule: Literal["cosine", "constant"] = "cosine"
    steps: int | None = None
    penalty: Callable[[Backbone], Tensor] | None = None
    align: nn.Module | None = None
    standardise: bool = False
    recalibrate: bool = False


class Classifier:
    """A backbone and a head: the predictor of gradient strategies.

    ``entry`` is the first block with something to train; what the blocks before it give is
    taken from the run's store, computed once by the backbone that training started from.
    """

    def __init__(self, recipe: Recipe, task: Task, run: Run) -> None:
        origin = recipe.backbone
        trainable = set(recipe.trainable)
        entry = min(map(origin.block_of, trainable), default=len(origin.blocks))
        self._origin, self._run = origin, run
        self.entry = entry if origin.can_enter(entry) else 0
        self.backbone = _copy_to_train(origin, trainable) if trainable else origin
        self.head = copy.deepcopy(recipe.head) or _zero_head(origin.num_features, task.classes)
        self.head.to(run.device)
        self._centre: Tensor | float = 0.0
        self._scale: Tensor | float = 1.0
        if recipe.standardise:
            self._standardise(task.train.inputs)

    @property
    def trained(self) -> dict[str, Tensor]:
        """Trained parameters by name, the head's under ``head``."""
        trained = {f"head.{name}": p.detach() for name, p in self.head.named_parameters()}
        if self.backbone is not self._origin:
            own = self.backbone.body_parameters()
            trained |= {name: p.detach() for name, p in own if p.requires_grad}
        return trained

    def entering(self, inputs: Inputs) -> Entering:
        """Stored activations at ``entry``, or the inputs themselves if the model has to run from
        the start: either is indexed for a batch."""
        stored = self._run.activations(self._origin, inputs, self.entry) if self.entry else None
        return inputs if stored is None else stored

    @torch.no_grad()
    def _standardise(self, inputs: Inputs) -> None:
        if self.backbone is not self._origin:
            raise ValueError("only the features of a frozen backbone can be standardised")
        parts, size = self._parts(inputs), len(inputs)
        self._centre = torch.stack([part.sum(0) for part in parts]).sum(0) / size
        squares = torch.stack([(part - self._centre).square().sum() for part in parts]).sum()
        self._scale = (squares / (size * self._centre.numel())).sqrt().clamp_min(1e-12)

    @torch.no_grad()
    def features(self, inputs: Inputs) -> Tensor:
        """The features that the head is given, before they are standardised: ``[n, D]``."""
        with evaluating(self.backbone):
            return torch.cat(self._parts(inputs))

    def _parts(self, inputs: Inputs) -> list[Tensor]:
        entering = self.entering(inputs)
        starts = range(0, len(inputs), EVALUATION_BATCH)
        return [self.forward(entering, slice(s, s + EVALUATION_BATCH)) for s in starts]

    def forward(self, entering: Entering, index: Index) -> Tensor:
        """Features ``[b, D]`` of the batch at ``index``."""
        return self._features(entering[index], stored=isinstance(entering, Tensor))

    def forward_both(
        self, one: Entering, index: Index, other: Entering, aside: Index
    ) -> tuple[Tensor, Tensor]:
        """Features of two batches that go through the model as one, as batch norm sees them."""
        batches = [one[index], other[aside]]
        both = self._features(torch.cat(batches), stored=isinstance(one, Tensor))
        first, second = both.split([len(batch) for batch in batches])
        return first, second

    def classify(self, features: Tensor) -> Tensor:
        """Logits ``[b, classes]`` of features ``[b, D]``."""
        logits: Tensor = self.head((features - self._centre) / self._scale)
        return logits

    def _features(self, batch: Tensor, *, stored: bool) -> Tensor:
        if stored:
            return self.backbone.features_from(batch, self.entry)
        with torch.set_grad_enabled(
            torch.is_grad_enabled() and self.entry < len(self.backbone.blocks)
        ):
            return self.backbone.features(batch)

    @torch.no_grad()
    def logits(self, inputs: Inputs) -> Tensor:
        with evaluating(self.backbone):
            parts = [self.classify(part).float() for part in self._parts(inputs)]
        return torch.cat(parts)

    def state(self) -> dict[str, Tensor]:
        """What training changes, by name: trained parameters, and the copy's buffers."""
        changing = dict(self.trained)
        if self.backbone is not self._origin:
            changing |= dict(self.backbone.named_buffers())
        return changing

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go back to a copy of an earlier :meth:`state`."""
        for name, value in self.state().items():
            value.copy_(state[name])

    def save(self, path: Path) -> None:
        """Write what was trained to a safetensors file; the rest is the backbone's own.

        The head is written so that it takes the features as they are.
        """
        from safetensors.torch import save_file

        trained = dict(self.trained)
        trained["head.weight"] = trained["head.weight"] / self._scale
        trained["head.bias"] = trained["head.bias"] - trained["head.weight"] @ (
            torch.zeros_like(trained["head.weight"][0]) + self._centre
        )
        save_file({name: tensor.contiguous() for name, tensor in trained.items()}, path)


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


def _copy_to_train(origin: Backbone, trainable: set[str]) -> Backbone:
    """A copy whose named parameters train; the frozen ones are shared with ``origin``."""
    frozen = {id(p): p for name, p in origin.body_parameters() if name not in trainable}
    backbone = copy.deepcopy(origin, memo=dict(frozen))
    backbone.train_only(trainable)
    return backbone


def _zero_head(features: int, classes: int) -> nn.Linear:
    head = nn.Linear(features, classes)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return head


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
