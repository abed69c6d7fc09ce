"""Probabilities that mean what they say, and sets that hold the true class as often as asked for.

Both are learned from validation examples, and never from the test. A temperature divides the logits
(Guo et al. 2017); a set has every class whose probability is above a threshold, found by
cross-conformal prediction (Vovk 2015) with the least ambiguous score, one minus the probability of
the true class (Sadinle et al. 2019).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

FEWEST = 100
"""Validation examples without which no sets are made: a threshold of fewer is too rough."""

FOLDS = 5

SPREAD = float(np.log(2))
"""Standard deviation of the logarithm of a temperature, before anything is known."""

Logits = NDArray[np.floating]
"""[N, classes]"""

Labels = NDArray[np.integer]
"""[N]"""


@dataclass(frozen=True)
class Calibration:
    """``temperature`` divides logits, 1 where there was nothing to learn it from. Of a class whose
    probability is at least ``threshold`` it can't be ruled out that it is the true one: None where
    no sets are made, and ``why`` says why. ``examples``: how many it was learned from."""

    temperature: float
    threshold: float | None
    examples: int
    why: str = ""

    def probabilities(self, logits: Logits) -> NDArray[np.float64]:
        """Calibrated probabilities [N, classes]."""
        return chances(logits, self.temperature)

    def sets(self, logits: Logits) -> NDArray[np.bool_]:
        """Which classes can't be ruled out [N, classes]."""
        assert self.threshold is not None
        found: NDArray[np.bool_] = self.probabilities(logits) >= self.threshold
        return found

    def coverage(self, logits: Logits, labels: Labels) -> float:
        """How often the true class is in the set."""
        return float(self.sets(logits)[np.arange(len(labels)), labels].mean())


def calibrate(logits: Logits, labels: Labels, coverage: float) -> Calibration:
    """Learn from validation examples, so that sets hold the true class in a fraction ``coverage``
    of new examples of the same kind."""
    number = len(labels)
    if number == 0:
        return Calibration(1.0, None, 0, "there are no validation examples to learn it from")
    temperature = fit_temperature(logits, labels)
    if number < FEWEST:
        why = f"{number} validation examples are fewer than {FEWEST}"
        return Calibration(temperature, None, number, why)
    scores = np.empty(number)
    order = np.random.default_rng(0).permutation(number)
    for fold in np.array_split(order, FOLDS):
        others = np.setdiff1d(order, fold)
        temperature_of_others = fit_temperature(logits[others], labels[others])
        own = chances(logits[fold], temperature_of_others)
        scores[fold] = 1 - own[np.arange(len(fold)), labels[fold]]
    rank = int(np.ceil((number + 1) * coverage))
    if rank > number:
        why = f"{number} validation examples are too few for a coverage of {coverage:g}"
        return Calibration(temperature, None, number, why)
    return Calibration(temperature, 1 - float(np.sort(scores)[rank - 1]), number)


def chances(logits: Logits, temperature: float) -> NDArray[np.float64]:
    """Softmax probabilities [N, classes] of divided logits."""
    return np.exp(log_softmax(logits.astype(np.float64) / temperature, axis=1))


def fit_temperature(logits: Logits, labels: Labels) -> float:
    """The likeliest temperature, between 1/20 and 20, where its logarithm is beforehand taken to be
    0 give or take :data:`SPREAD`: without that, a few examples that are all classified rightly
    would make any answer certain."""
    rows, exact = np.arange(len(labels)), logits.astype(np.float64)

    def loss(log_temperature: float) -> float:
        logs = log_softmax(exact / np.exp(log_temperature), axis=1)
        prior = log_temperature**2 / (2 * SPREAD**2)
        return prior - float(logs[rows, labels].sum())

    edge = np.log(20)
    return float(np.exp(minimize_scalar(loss, bounds=(-edge, edge), method="bounded").x))
