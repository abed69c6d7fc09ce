"""Train linear heads on one frozen backbone together: of many settings, or of many small tasks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.data.examples import Examples, Inputs
from harness.data.task import OneClass, Task
from harness.errors import Diverged
from harness.model.classifier import EVALUATION_BATCH, Classifier, Index, first_head, there
from harness.model.descend import descend
from harness.model.fit import evaluation_steps, fit
from harness.model.heads import StandardisedLinear
from harness.model.objective import batch_order
from harness.model.optimisation import adamw
from harness.model.recipe import Recipe
from harness.model.run import Run

BETAS, EPS = (0.9, 0.999), 1e-8
"""AdamW's, as :class:`torch.optim.AdamW` has them by default."""


def fit_heads(recipes: Sequence[Recipe], tasks: Sequence[Task], run: Run) -> list[Classifier]:
    """What ``fit`` makes of each recipe and task, but for rounding, by shared products.

    Settings of one task see the same batches, so that the logits of all heads are one product of
    ``[b, D]`` and ``[D, T C]``. Tasks of one size, as episodes are, are stacked. What is neither is
    fitted one after the other, and so is all that takes more than a linear head that AdamW trains
    on stored features: blocks that train, regularisers, a criterion, a sampler or rates of
    one's own, a schedule or a number of steps that is not the others', a target that is not one
    class, augmented inputs, an early end.

    Args:
        recipes: of one strategy: they differ in the head that they start from, in rate and decay.
        tasks: one for each.

    Raises:
        Diverged: the loss, or a validation prediction, of one of them is not finite.
    """
    first = recipes[0]
    alone = run.augment is not None or run.patience is not None
    alone = alone or any(task.unlabelled_val is not None for task in tasks)
    alone = alone or not all(isinstance(task.target, OneClass) for task in tasks)
    alone = alone or any((r.schedule, r.steps) != (first.schedule, first.steps) for r in recipes)
    if alone or not all(map(_only_a_head, recipes)):
        return [fit(recipe, task, run) for recipe, task in zip(recipes, tasks, strict=True)]
    shared = all(task is tasks[0] for task in tasks) and _see_alike(recipes)
    if shared:
        model = Classifier(first, tasks[0], run)
        heads = [first_head(recipe, tasks[0]).to(run.device) for recipe in recipes[1:]]
        models = [model, *map(model.with_head, heads)]
    elif len({(len(task.train), task.classes, task.val is None) for task in tasks}) == 1 and (
        tasks[0].val is None and len(tasks[0].train) <= run.batch_size
    ):
        models = [Classifier(r, task, run) for r, task in zip(recipes, tasks, strict=True)]
    else:
        return [fit(recipe, task, run) for recipe, task in zip(recipes, tasks, strict=True)]
    trained = Heads(models, recipes)
    _train(trained, models[:1] if shared else models, first, tasks, run)
    trained.hand_out(models)
    return models


def _only_a_head(recipe: Recipe) -> bool:
    own = recipe.criterion, recipe.sampler
    more = recipe.trainable, recipe.regularisers, any(each is not None for each in own)
    rates = recipe.lr, recipe.weight_decay
    return (
        recipe.optimizer is adamw
        and not any(more)
        and not any(isinstance(rate, Mapping) for rate in rates)
        and _is_plain(recipe.head)
    )


def _is_plain(head: nn.Module | None) -> bool:
    """Whether a head is the weight and the bias of a linear one, and at most standardises."""
    if type(head) is nn.Linear:
        return head.bias is not None
    return head is None or type(head) is StandardisedLinear


def _see_alike(recipes: Sequence[Recipe]) -> bool:
    """Whether all heads see the same features: standardised alike, or all of them as they are."""
    first, *others = (_standardisation(recipe) for recipe in recipes)
    return all(
        len(other) == len(first)
        and all(a is b or torch.equal(a, b) for a, b in zip(first, other, strict=True))
        for other in others
    )


def _standardisation(recipe: Recipe) -> list[Tensor]:
    head = recipe.head
    return [head.centre, head.scale] if isinstance(head, StandardisedLinear) else []


def _seen(model: Classifier, inputs: Inputs) -> Tensor:
    """The features as the head's linear map sees them: ``[n, D]``."""
    features = model.features(inputs)
    head = model.head
    return head.standardise(features) if isinstance(head, StandardisedLinear) else features


def _train(
    heads: Heads, shown: list[Classifier], recipe: Recipe, tasks: Sequence[Task], run: Run
) -> None:
    task = tasks[0]
    steps = run.steps if recipe.steps is None else min(recipe.steps, run.steps)
    inputs = [t.train for t in tasks[: len(shown)]]
    features = torch.stack([_seen(m, e.inputs) for m, e in zip(shown, inputs, strict=True)]).to(
        heads.weight.dtype
    )
    labels = torch.stack([examples.labels for examples in inputs])
    score_at = evaluation_steps(steps, run.evaluations)

    def batches(done: int) -> Iterator[Index]:
        order = batch_order(len(task.train), run.batch_size, steps, run.generator("batches"))
        return islice(order, done, None)

    def gradient(index: Index) -> Tensor:
        chosen = there(index, run.device)
        return heads.gradient(features[:, chosen], labels[:, chosen])

    for step in descend(batches, gradient, heads, recipe.schedule, steps, run):
        if step in score_at and task.val is not None:
            with run.scoring():
                accuracy, likelihood = heads.score(shown[0], task.val)
                heads.offer(accuracy, likelihood)
                told = accuracy.tolist()
                run.report(step, told if len(tasks) > 1 else told[0])


class Heads:
    """``T`` linear heads, which are their own optimiser: AdamW's moments, and the state of each
    head that validated best."""

    def __init__(self, models: Sequence[Classifier], recipes: Sequence[Recipe]) -> None:
        weight = torch.stack([model.head.weight.detach() for model in models])
        bias = torch.stack([model.head.bias.detach() for model in models])
        self.param_groups: list[dict[str, Any]] = [{"lr": 1.0}]  # the share of each head's rate
        self._rate = weight.new_tensor([recipe.lr for recipe in recipes])
        self._decay = weight.new_tensor([recipe.weight_decay for recipe in recipes])
        self._steps = 0
        self._gradients: tuple[Tensor, Tensor] | None = None
        self._tensors = {"weight": weight, "bias": bias}
        for name in ("weight", "bias"):
            for moment in ("first", "second"):
                self._tensors[f"{name}.{moment}"] = torch.zeros_like(self._tensors[name])
            self._tensors[f"{name}.best"] = self._tensors[name].clone()
        for name in ("best.accuracy", "best.likelihood"):
            self._tensors[name] = torch.full_like(self._rate, -math.inf, dtype=torch.float64)

    @property
    def weight(self) -> Tensor:
        return self._tensors["weight"]

    @property
    def bias(self) -> Tensor:
        return self._tensors["bias"]

    def logits(self, features: Tensor) -> Tensor:
        """``[T, b, C]`` of features ``[T, b, D]``, or ``[1, b, D]`` that all heads share."""
        heads, classes, width = self.weight.shape
        product: Tensor
        if len(features) == 1:
            flat = features[0] @ self.weight.reshape(heads * classes, width).T
            product = flat.unflatten(1, (heads, classes)).transpose(0, 1)
        else:
            product = features @ self.weight.mT
        return product + self.bias[:, None]

    def gradient(self, features: Tensor, labels: Tensor) -> Tensor:
        """Compute the gradient of each head's mean cross-entropy.

        Args:
            features: ``[T, b, D]`` or ``[1, b, D]``.
            labels: int64 ``[T, b]`` or ``[1, b]``.

        Returns:
            A scalar that is finite if all losses are.
        """
        heads, classes, width = self.weight.shape
        # The gradient of cross-entropy by the logits: probabilities less one for the true class.
        slope = self.logits(features).softmax(2)
        answers = labels.expand(heads, -1)[..., None]
        slope.scatter_add_(2, answers, torch.full_like(slope[..., :1], -1.0))
        slope /= features.shape[1]
        if len(features) == 1:
            flat = slope.transpose(0, 1).reshape(-1, heads * classes)
            by_weight = (flat.T @ features[0]).reshape(heads, classes, width)
        else:
            by_weight = slope.mT @ features
        by_bias = slope.sum(1)
        self._gradients = by_weight, by_bias
        return by_bias.sum()

    def zero_grad(self, set_to_none: bool = True) -> None:
        self._gradients = None

    def step(self, closure: Callable[[], Tensor]) -> Tensor:
        """Take a step of AdamW."""
        loss = closure()
        assert self._gradients is not None
        by_weight, by_bias = self._gradients
        self._steps += 1
        rate = self._rate * self.param_groups[0]["lr"]
        self._update("weight", by_weight, rate[:, None, None], self._decay[:, None, None])
        self._update("bias", by_bias, rate[:, None], None)
        return loss

    def _update(self, name: str, gradient: Tensor, rate: Tensor, decay: Tensor | None) -> None:
        """AdamW (Loshchilov & Hutter 2019, algorithm 2), in place."""
        value = self._tensors[name]
        first, second = self._tensors[f"{name}.first"], self._tensors[f"{name}.second"]
        if decay is not None:
            value *= 1 - rate * decay
        first.lerp_(gradient, 1 - BETAS[0])
        second.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
        unbiased = second.sqrt().div_(math.sqrt(1 - BETAS[1] ** self._steps)).add_(EPS)
        value -= (rate / (1 - BETAS[0] ** self._steps)) * (first / unbiased)

    def score(self, model: Classifier, examples: Examples) -> tuple[Tensor, Tensor]:
        """Accuracy and log likelihood (nats) of each head, float64 ``[T]``."""
        features = _seen(model, examples.inputs).to(self.weight.dtype)
        right = likelihood = torch.zeros((), device=features.device)
        for start in range(0, len(examples), EVALUATION_BATCH):
            part = slice(start, start + EVALUATION_BATCH)
            logits, labels = self.logits(features[None, part]).double(), examples.labels[part]
            right = right + (logits.argmax(2) == labels).double().sum(1)
            answers = labels.expand(len(logits), -1)
            each = F.cross_entropy(logits.mT, answers, reduction="none")
            likelihood = likelihood - each.sum(1)
        if not likelihood.isfinite().all():
            raise Diverged("the model's predictions are not finite")
        return right / len(examples), likelihood / len(examples)

    def offer(self, accuracy: Tensor, likelihood: Tensor) -> None:
        """Remember the heads that are better now than they were."""
        best, tie = self._tensors["best.accuracy"], self._tensors["best.likelihood"]
        better = (accuracy > best) | ((accuracy == best) & (likelihood > tie))
        best[better], tie[better] = accuracy[better], likelihood[better]
        for name in ("weight", "bias"):
            self._tensors[f"{name}.best"][better] = self._tensors[name][better]

    @torch.no_grad()
    def hand_out(self, models: Sequence[Classifier]) -> None:
        """Give each model its head: the best that was offered, or the last."""
        offered = self._tensors["best.accuracy"] > -math.inf
        for number, model in enumerate(models):
            kept = ".best" if offered[number] else ""
            model.head.weight.copy_(self._tensors[f"weight{kept}"][number])
            model.head.bias.copy_(self._tensors[f"bias{kept}"][number])

    def state_dict(self) -> dict[str, object]:
        return {"steps": self._steps, **self._tensors}

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        tensors = dict(state)
        self._steps = int(str(tensors.pop("steps")))
        for name, tensor in tensors.items():
            assert isinstance(tensor, Tensor)
            self._tensors[name].copy_(tensor)
