"""How far new inputs drift from those that a model was validated on, by what it answers to them.

It sees logits, and neither pixels nor words: a change that leaves the answers alone is not noticed.
An input has two scores: how far apart its logits are, which is the log loss of its probabilities
were any class as likely as any other, and the squared Mahalanobis distance of its logits from those
of validation examples (Lee et al. 2018), both whatever is added to all logits of an input. This
file needs NumPy alone: models that are shipped have a copy of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ALARM = 0.01
"""Of batches of inputs like those of the validation split, the fraction that is said to drift, at
most."""

FEWEST, MOST = 20, 1000
"""Validation examples without which nothing is told, and as many as are used."""

TAIL = 0.1
"""The part of the validation examples that are as extreme as what is counted in a batch."""

WIDEST = 16
"""Dimensions in which distances are measured; more classes are projected to these at random."""

KEPT = 0.9
"""Of a covariance; the rest is that of a sphere, so that few examples give one."""

WAYS = 3
"""In which an input can be extreme: logits close together or far apart, or far from the others."""

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Reference:
    """What validation examples score, each in ascending order, and how distances are measured:
    ``axes`` [d, classes] make of logits what has unit covariance around ``centre`` [d]."""

    spreads: Sequence[float]
    distances: Sequence[float]
    centre: Sequence[float]
    axes: Sequence[Sequence[float]]

    def typicality(self, logits: Floats) -> NDArray[np.float64]:
        """Of each input, a conformal p-value [n] (Vovk et al. 2005): of inputs like the validation
        examples at most a fraction ``p`` have one of ``p`` or less."""
        spreads, distances = self._scores(logits)
        ways = [
            (1 + counted) / (1 + len(known))
            for known, counted in (
                (self.spreads, np.searchsorted(self.spreads, spreads, side="right")),
                (self.spreads, _reached(self.spreads, spreads)),
                (self.distances, _reached(self.distances, distances)),
            )
        ]
        found: NDArray[np.float64] = np.minimum(1, WAYS * np.min(ways, axis=0))
        return found

    def drift(self, logits: Floats) -> float:
        """The p-value of a batch of inputs: whether more of them are extreme, in any of three ways
        (Bonferroni), than of inputs that are exchangeable with the validation examples. Of those,
        the number beyond the k-th most extreme of m examples is beta-binomial, with k and
        m + 1 - k."""
        spreads, distances = self._scores(logits)
        ways = (
            (np.negative(self.spreads[::-1]), -spreads),
            (np.array(self.spreads), spreads),
            (np.array(self.distances), distances),
        )
        return min(1.0, WAYS * min(_chance(known, new) for known, new in ways))

    def _scores(self, logits: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        centred = _centred(logits)
        distances = np.square(centred @ np.array(self.axes).T - np.array(self.centre)).sum(axis=1)
        return _spread(centred), distances


def learn(logits: Floats) -> Reference | None:
    """Learn from the logits [N, classes] of validation examples; None where these are too few. Of
    the examples, half measure distances, and the others are what new ones are compared with."""
    if len(logits) < FEWEST:
        return None
    draw = np.random.default_rng(0)
    centred = _centred(logits)[draw.permutation(len(logits))[:MOST]]
    first, rest = np.array_split(centred, 2)
    number = centred.shape[1]
    project = np.eye(number)
    if number > WIDEST:
        project = draw.standard_normal((WIDEST, number)) / np.sqrt(number)
    seen = first @ project.T
    spread = np.cov(seen.T, bias=True)
    sphere = np.eye(len(project)) * max(np.trace(spread) / len(project), np.finfo(float).tiny)
    whiten = np.linalg.cholesky(np.linalg.inv(KEPT * spread + (1 - KEPT) * sphere)).T
    axes = _short(whiten @ project)
    centre = _short(axes @ first.mean(axis=0))
    found = Reference([], [], centre.tolist(), axes.tolist())
    _, distances = found._scores(rest)
    return Reference(
        np.sort(_spread(centred)).tolist(),
        np.sort(distances).tolist(),
        found.centre,
        found.axes,
    )


def sentence(p: float, inputs: int) -> str:
    """What there is to say of a batch of so many inputs whose p-value is ``p``."""
    if p < ALARM:
        return (
            f"drift: these {inputs:,} inputs are unlike those that the model was validated on"
            f" (p = {p:.2g}): how often it is right on them is not known"
        )
    return f"drift: none is seen in these {inputs:,} inputs (p = {p:.2g})"


def _centred(logits: Floats) -> NDArray[np.float64]:
    exact = np.asarray(logits, np.float64)
    found: NDArray[np.float64] = exact - exact.mean(axis=1, keepdims=True)
    return found


def _spread(centred: NDArray[np.float64]) -> NDArray[np.float64]:
    most = centred.max(axis=1)
    found: NDArray[np.float64] = most + np.log(np.exp(centred - most[:, None]).sum(axis=1))
    return found


def _short(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """With as many digits as single precision has, in which it is written."""
    return np.array([float(f"{value:.7g}") for value in values.flat]).reshape(values.shape)


def _reached(known: Sequence[float], new: NDArray[np.float64]) -> NDArray[np.intp]:
    """How many of the known scores, which ascend, reach each new one."""
    return len(known) - np.searchsorted(known, new, side="left")


def _chance(known: NDArray[np.float64], new: NDArray[np.float64]) -> float:
    """That as many new scores as here, or more, exceed the k-th largest known one."""
    m, n = len(known), len(new)
    k = max(1, int(TAIL * (m + 1)))
    beyond = np.arange(int((new > known[m - k]).sum()), n + 1)
    log = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, m + n + 1)))])  # of factorials
    ways = log[n] - log[beyond] - log[n - beyond]
    beta = log[beyond + k - 1] + log[n - beyond + m - k] - log[n + m]
    return float(min(1.0, np.exp(ways + beta - log[k - 1] - log[m - k] + log[m]).sum()))
