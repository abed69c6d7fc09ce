"""Moderated t tests: of its spread, what a setting's few seeds don't tell is told by the others.

After Smyth (2004), "Linear models and empirical Bayes methods": the variances of all settings and
pairs of strategies are taken for draws from one distribution, with a mean of its own for each pair,
and each is drawn towards that as far as few seeds leave it uncertain. A setting whose spread is far
above that of the others keeps its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import digamma, polygamma

from harness.report.analysis.stats import SAME, Floats

LEAST_PAIRS = 3
"""Pairs of strategies, those of three, and :data:`LEAST_SETTINGS`: with fewer the prior is itself
so uncertain that up to 10 % of null suites had a finding."""
LEAST_SETTINGS = 8

MOST_FREEDOM = 20.0
"""Degrees of freedom that a prior may have: variances that look all alike may do so by chance."""

FAR = 3.5
"""Robust standard deviations above the others from which on a setting's spread is one apart."""


@dataclass(frozen=True)
class Moderation:
    """Spreads to test by, and what they were made of.

    ``sd`` and ``freedom``: the standard deviation of each paired difference and its degrees of
    freedom [S, P] · ``flagged``: settings that keep their own spread [S] · ``prior``: degrees of
    freedom that the other settings are worth, d₀; 0 is Student's plain t · ``kept``: how much of
    the differences between pairs the prior keeps, B, from 0 (one for all) to 1 · ``prior_sd``: the
    prior's standard deviation of each pair, s₀ [P].
    """

    sd: Floats
    freedom: Floats
    flagged: NDArray[np.bool_]
    prior: float
    kept: float
    prior_sd: Floats


def moderate(variance: ArrayLike, n: ArrayLike, examples: ArrayLike) -> Moderation:
    """Moderate the variances of paired differences.

    Args:
        variance: of each setting and pair over its seeds, n - 1 in the denominator, in squared
            fractions [S, P]; NaN where there is none.
        n: seeds that each is of [S, P].
        examples: test examples of each setting [S]. Accuracies go by steps of one over that, so
            that no variance is taken to be less than that of rounding to them, 1 / 6N². Where it
            is not known (NaN), differences without any spread take no part.

    Returns:
        Student's own spread and freedom where there are too few pairs or settings for more.
    """
    variance, n = np.asarray(variance, dtype="float64"), np.asarray(n, dtype="float64")
    freedom = np.where((n > 1) & ~np.isnan(variance), n - 1, np.nan)
    floor = 1 / (6 * np.asarray(examples, dtype="float64") ** 2)
    floored = np.where(np.isnan(freedom), np.nan, np.fmax(variance, floor[:, None]))
    spread = np.where(floored > SAME**2, floored, np.nan)
    z = np.log(spread) - digamma(freedom / 2) + np.log(freedom / 2)
    flagged = _far_above(z, polygamma(1, freedom / 2))
    known = ~np.isnan(z) & ~flagged[:, None]
    none = np.full(z.shape[1], np.nan)
    own = Moderation(np.sqrt(variance), freedom, flagged, 0.0, math.nan, none)
    if known.any(axis=0).sum() < LEAST_PAIRS or known.any(axis=1).sum() < LEAST_SETTINGS:
        return own
    rows = known.any(axis=1)
    kept, centre, excess = _prior(z[rows], known[rows], polygamma(1, freedom[rows] / 2))
    prior = 2 * inverse_trigamma(max(excess, float(polygamma(1, MOST_FREEDOM / 2))))
    before = np.exp(centre + digamma(prior / 2) - math.log(prior / 2))
    pooled = (prior * before + freedom * floored) / (prior + freedom)
    return Moderation(
        sd=np.where(known, np.sqrt(pooled), own.sd),
        freedom=np.where(known, prior + freedom, freedom),
        flagged=flagged,
        prior=prior,
        kept=kept,
        prior_sd=np.sqrt(before),
    )


def inverse_trigamma(x: float) -> float:
    """The y > 0 of which ψ′(y) is x > 0, by Newton's steps on 1/ψ′ (Smyth 2004, appendix)."""
    y = 0.5 + 1 / x
    for _ in range(50):
        slope = polygamma(1, y)
        step = float(slope * (1 - slope / x) / polygamma(2, y))
        y += step
        if abs(step) < 1e-10 * y:
            break
    return y


def _far_above(z: Floats, noise: Floats) -> NDArray[np.bool_]:
    """Which settings have a mean log variance far above the median of all; ``noise`` [S, P] is what
    they would vary by if the true ones were all alike."""
    known = ~np.isnan(z)
    count = np.where(known.any(axis=1), known.sum(axis=1), np.nan)
    if not known.any():
        return np.zeros(len(z), dtype=bool)
    means = np.where(known, z, 0).sum(axis=1) / count
    above = means - np.nanmedian(means)
    # What pairs of one setting have in common leaves about .3 of the noise in their mean.
    by_chance = np.sqrt(0.3 * np.where(known, noise, 0).sum(axis=1) / count)
    scale = np.fmax(1.4826 * np.nanmedian(np.abs(above)), by_chance)
    return np.asarray(np.where(np.isnan(above), 0, above) > FAR * np.where(scale > 0, scale, 1))


def _prior(z: Floats, known: NDArray[np.bool_], noise: Floats) -> tuple[float, Floats, float]:
    """B, each pair's mean log variance [P], and how much more the log variances vary than they
    would by chance, plus one jackknife standard error over settings."""
    z, noise, one = (np.where(known, values, 0.0) for values in (z, noise, 1.0))
    centre = z.sum() / known.sum()
    z = np.where(known, z - centre, 0.0)  # so that sums of squares lose no digits
    sums = (one, z, z**2)
    count, total, squares = (part.sum(axis=0) for part in sums)
    whole = _fit(count, total, squares, noise.sum())
    count, total, squares = (part.sum(axis=0) - part for part in sums)
    rest = _fit(count, total, squares, noise.sum() - noise.sum(axis=1))
    error = math.sqrt((len(z) - 1) * rest[2].var())
    return float(whole[0]), whole[1] + centre, float(whole[2]) + error


def _fit(
    count: Floats, total: Floats, squares: Floats, noise: ArrayLike
) -> tuple[Floats, Floats, Floats]:
    """B, each pair's centre and the excess of the variance of log variances, from how many there
    are of each pair, their sum and that of their squares [..., P], and the summed noise [...]."""
    held, several = count > 0, count > 1
    mean = total / np.where(held, count, 1)
    within = np.maximum(squares - count * mean**2, 0)
    pairs = held.sum(axis=-1)
    grand = mean.sum(axis=-1) / pairs
    between = np.where(held, (mean - grand[..., None]) ** 2, 0).sum(axis=-1) / np.maximum(
        pairs - 1, 1
    )
    errors = np.where(several, within / np.where(several, (count - 1) * count, 1), 0)
    chance = errors.sum(axis=-1) / np.maximum(several.sum(axis=-1), 1)
    kept = np.where(between > 0, np.clip(1 - chance / np.maximum(between, 1e-300), 0, 1), 0.0)
    centre = grand[..., None] + kept[..., None] * (mean - grand[..., None])
    left = (within + count * (mean - centre) ** 2).sum(axis=-1)
    number = count.sum(axis=-1)
    return kept, centre, left / (number - 1 - kept * (pairs - 1)) - np.asarray(noise) / number
