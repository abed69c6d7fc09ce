"""Multinomial logistic regression solved to its optimum, for a whole path of penalties."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.api import Diverged

ESTIMATE, BOUND = 3e-7, 5e-5
"""Nats by which the loss may be above its optimum: as L-BFGS estimates it, and as the penalty's
curvature proves it for a bias that is at its best."""

MEMORY = 10
"""Steps that L-BFGS learns the curvature from."""

ITERATIONS = 2000
"""For one penalty; a tenth of it is much."""

TRIES = 60
"""Of a length along one direction; two are many."""

SPREAD = 1e-4
"""The least curvature that probabilities are taken to add: where all are sure, and wrong, a step
would have no bounds."""

ABSENT = -40.0
"""The bias of a class without examples, whose optimum is at minus infinity: none is predicted, and
the others lose nothing that float64 could hold."""


def solve(
    features: Tensor, labels: Tensor, classes: int, penalties: Sequence[float]
) -> tuple[Tensor, Tensor]:
    """Minimise ``mean cross-entropy + penalty / 2 * sum(weight²)``; the bias is free.

    L-BFGS in its compact form (Byrd et al. 1994), from the strongest penalty to the weakest. Three
    things make its iterations few. In the eigenbasis of the features' covariance the Hessian is
    nearly diagonal, with the curvature that probabilities add (Böhning 1992) class by class. The
    optimum moves smoothly with the logarithm of the penalty, so that the next one is looked for on
    the line through the last two. And what was learned about curvature stays true from one penalty
    to the next, but for the penalty's own part, which is known.

    Args:
        features: float ``[B, n, D]``, centred, of ``B`` problems that are solved side by side.
        labels: int64 ``[B, n]``.
        penalties: positive; the order is free.

    Returns:
        Weight ``[T, B, classes, D]`` and bias ``[T, B, classes]`` for the ``T`` penalties, of the
        features' dtype: float32 comes as near to the optimum as float64, in half the time.

    Raises:
        Diverged: the features are not finite, or an optimum was not found.
    """
    if not features.isfinite().all():
        raise Diverged("the features are not finite")
    rotated, basis, curvature = _rotate(features)
    path = _Path(rotated, curvature, F.one_hot(labels, classes).mT.to(features.dtype))
    optima = {}
    for penalty in sorted(set(penalties), reverse=True):
        path.move(penalty)
        optima[penalty] = path.weight
    found = torch.stack([optima[penalty] for penalty in penalties])
    return found[..., :-1] @ basis.mT, found[..., -1]


def _rotate(features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Features ``[B, n, r]`` in the eigenbasis of their covariance, where ``r = min(n, D)``, the
    basis ``[B, D, r]``, and their mean squares ``[B, r]``."""
    examples, width = features.shape[1:]
    if width > examples:
        span, triangle = torch.linalg.qr(features.mT)
        rotated, basis, squares = _rotate(triangle.mT)
        return rotated, span @ basis, squares
    squares, basis = torch.linalg.eigh(features.mT @ features / examples)
    return features @ basis, basis, squares.clamp_min(0)


class _Path:
    """The optima of ``B`` problems, from one penalty to the next.

    ``weight``, ``[B, C, r + 1]``, has the bias in its last column, and logits are ``[B, C, n]``:
    so laid out, softmax runs along memory.
    """

    def __init__(self, features: Tensor, curvature: Tensor, answers: Tensor) -> None:
        ones = torch.ones_like(features[:, :, :1])
        self._inputs = torch.cat([features, ones], 2)
        self._curvature = torch.cat([curvature, ones[:, 0]], 1)[:, None]
        self._penalised = torch.ones_like(self._curvature[0, 0])
        self._penalised[-1] = 0
        self._answers = answers
        self.weight = answers.new_zeros(*answers.shape[:2], self._inputs.shape[2])
        self.weight[..., -1] = ABSENT * (answers.sum(2) == 0)
        self._logits = self.weight @ self._inputs.mT
        self._residual = self._logits.softmax(1) - answers
        self._memory = _Memory(self.weight)
        self._optima: deque[tuple[float, Tensor, Tensor]] = deque(maxlen=2)

    def move(self, penalty: float) -> None:
        """Go to the optimum under a weaker penalty."""
        penalties = penalty * self._penalised
        self._extrapolate(penalty, penalties)
        gradient = self._gradient(penalties)
        for _ in range(ITERATIONS):
            probabilities = self._residual + self._answers
            spread = (probabilities - probabilities.square()).mean(2, keepdim=True)
            scale = 1 / (spread.clamp_min(SPREAD) * self._curvature + penalties)
            direction = -self._memory.newton(gradient, scale)
            slack = gradient[..., :-1].square().sum((1, 2)) / (2 * penalty)
            found = (-_dot(gradient, direction) / 2 <= ESTIMATE) & (slack <= BOUND)
            if found.all():
                self._optima.append((penalty, self.weight, self._logits))
                return
            direction = direction.masked_fill(found[:, None, None], 0)
            before, slope = self.weight, gradient
            self._search(direction, direction @ self._inputs.mT, 1.0, penalties)
            gradient = self._gradient(penalties)
            self._memory.add(self.weight - before, gradient - slope)
        raise Diverged(f"no optimum within {ITERATIONS} iterations")

    def _extrapolate(self, penalty: float, penalties: Tensor) -> None:
        """Start on the line through the last two optima."""
        if self._optima:
            last, weight, logits = self._optima[-1]
            self._memory.penalise((penalty - last) * self._penalised)
        if len(self._optima) == 2:
            first, weight_before, logits_before = self._optima[0]
            length = math.log1p((last - penalty) / penalty) / math.log1p((first - last) / last)
            self._search(weight - weight_before, logits - logits_before, length, penalties)

    def _gradient(self, penalties: Tensor) -> Tensor:
        return self._residual @ self._inputs / self._inputs.shape[1] + penalties * self.weight

    def _search(self, direction: Tensor, change: Tensor, length: float, penalties: Tensor) -> None:
        """Go along ``direction``, which changes the logits by ``change``, to where the slope is at
        most half of what it is here.

        Logits are linear in the length, so that a try takes no product with the features. Newton's
        method finds it, with a bracket to fall back on: the slope only grows.
        """
        examples = self._inputs.shape[1]
        by_weight = (penalties * self.weight * direction).sum((1, 2))
        by_direction = (penalties * direction.square()).sum((1, 2))
        enough = (_dot(self._residual, change) / examples + by_weight).abs() / 2
        at = torch.full_like(by_weight, length)
        low, high = torch.zeros_like(at), torch.full_like(at, math.inf)
        for _ in range(TRIES):
            logits = self._logits + at[:, None, None] * change
            probabilities = logits.softmax(1)
            residual = probabilities - self._answers
            slope = _dot(residual, change) / examples + by_weight + at * by_direction
            near = slope.abs() <= enough
            if near.all():
                break
            expected = probabilities * change
            variance = _dot(expected, change) - expected.sum(1).square().sum(1)
            newton = at - slope / (variance / examples + by_direction)
            low, high = torch.where(slope < 0, at, low), torch.where(slope > 0, at, high)
            middle = torch.where(high.isinf(), 2 * at, (low + high) / 2)
            inside = (newton > low) & (newton < high) & (newton < 10 * at)
            at = torch.where(near, at, torch.where(inside, newton, middle))
        self.weight = self.weight + at[:, None, None] * direction
        self._logits, self._residual = logits, residual


class _Memory:
    """The last steps and what they changed of the gradient, of problems side by side."""

    def __init__(self, weight: Tensor) -> None:
        self._steps = self._changes = weight.flatten(1)[:, None][:, :0]

    def add(self, step: Tensor, change: Tensor) -> None:
        """Remember a step and its change of the gradient, ``[B, C, r]``."""
        kept = slice(1 - MEMORY, None)
        self._steps = torch.cat([self._steps[:, kept], step.flatten(1)[:, None]], 1)
        self._changes = torch.cat([self._changes[:, kept], change.flatten(1)[:, None]], 1)

    def penalise(self, more: Tensor) -> None:
        """The penalty has changed, and with it every gradient, by ``more`` times the weight."""
        classes = self._steps.shape[2] // len(more)
        self._changes = self._changes + more.repeat(classes) * self._steps

    def newton(self, gradient: Tensor, scale: Tensor) -> Tensor:
        """The inverse Hessian times ``gradient``, if ``scale`` is the diagonal of a first guess."""
        if not self._steps.shape[1]:
            return scale * gradient
        diagonal = scale.expand_as(gradient).flatten(1)[:, None]
        steps, changes = self._steps, self._changes
        scaled = diagonal * changes
        products, among = steps @ changes.mT, scaled @ changes.mT
        own = products.diagonal(dim1=1, dim2=2)
        # A problem that is solved stands still while others go on: its last steps are zero.
        moved = own > 0
        factor = torch.where(moved[:, -1], own[:, -1] / among[:, -1, -1], 1)[:, None, None]
        upper = products.triu() + torch.diag_embed((~moved).to(own.dtype))
        flat = gradient.flatten(1)[..., None]
        one = torch.linalg.solve_triangular(upper, steps @ flat, upper=True)
        right = own[..., None] * one + factor * (among @ one - scaled @ flat)
        two = torch.linalg.solve_triangular(upper.mT, right, upper=False)
        result: Tensor = factor * (diagonal.mT * flat - scaled.mT @ one) + steps.mT @ two
        return result.reshape(gradient.shape)


def _dot(one: Tensor, other: Tensor) -> Tensor:
    """The inner product of each problem's own, ``[B]``."""
    product: Tensor = (one * other).sum((1, 2))
    return product
