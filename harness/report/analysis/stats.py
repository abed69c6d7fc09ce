"""Intervals, tests and corrections: pure functions on arrays that know no suite.

A *paired difference* is what one seed gave two strategies: the same split and the same draws, so
that what they share is gone from it. All intervals are two-sided at ``LEVEL``, all tests two-sided
at ``ALPHA``. Whatever draws does so from a fixed seed: the same numbers give the same report.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

Floats: TypeAlias = NDArray[np.float64]

LEVEL = 0.95
ALPHA = 0.05
SAME = 1e-9
"""Means of accuracies that are closer than this are the same but for the rounding of floats: two
that differ do so by at least one answer, of fewer than 10⁹ that a mean is over."""

RESAMPLES = 9999
PROBLEMS_FOR_BOOTSTRAP = 8
"""Fewer don't bring the two-stage bootstrap's coverage to 93–97 %; the tests simulate it."""
PROBLEMS_FOR_RANKS = 5
"""With fewer, an average rank is hardly more than the ranks that it is of."""


@dataclass(frozen=True)
class Estimate:
    """A difference, the half width of its interval and the p-value that it is none.

    NaN is for what can't be had, such as an interval from one value.
    """

    value: float
    half: float
    p: float


def exact_ties(values: ArrayLike) -> Floats:
    """``values``, of any shape, in which those that differ by rounding alone are equal.

    Floats that are added in another order come to another sum: 0.7 + 0.8 + 0.9 is not
    0.9 + 0.7 + 0.8. Whatever compares means, by ``==``, ``>`` or their order, compares these. NaN
    stays.
    """
    given = np.asarray(values, dtype="float64")
    order = np.argsort(given, axis=None)
    rising = given.ravel()[order]
    # Each is as the lowest of those that it follows closely; NaN follows nothing.
    opens = ~(np.diff(rising, prepend=-np.inf) <= SAME)
    lowest = np.maximum.accumulate(np.where(opens, np.arange(len(rising)), 0))
    equal = np.empty_like(rising)
    equal[order] = rising[lowest]
    return equal.reshape(given.shape)


# ── over seeds ────────────────────────────────────────────────────────────────────────────────


def half_width(sd: ArrayLike, n: ArrayLike) -> Floats:
    """Half of Student's t interval of a mean: t(n - 1) · sd / √n; NaN for a single value.

    Args:
        sd: sample standard deviations, n - 1 in the denominator, of any shape.
        n: how many values each is of.
    """
    n = np.asarray(n, dtype="float64")
    several = np.where(n > 1, n, np.nan)
    return np.asarray(sd) * _t_quantile((1 + LEVEL) / 2, several - 1) / np.sqrt(several)


def paired_p(mean: ArrayLike, sd: ArrayLike, n: ArrayLike) -> Floats:
    """P-values of Student's paired t test, from the mean and sd of n differences each.

    The t test it is, since with the 3 to 10 seeds of a suite no other has a chance: n pairs can
    be signed in 2ⁿ ways, so that Wilcoxon's signed ranks and permutations give no p below
    2^(1 - n), which is 0.25 for three seeds and above 0.05 up to five.

    Differences that are all the same and not 0 have no test (NaN): few seeds and a small test
    split make that a matter of chance, and a spread of 0 would let it pass for certainty.
    """
    mean, sd, n = (np.asarray(given, dtype="float64") for given in (mean, sd, n))
    spread = sd > SAME
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.abs(mean) * np.sqrt(n) / np.where(spread, sd, np.nan)
        p = 2 * _t_beyond(t, np.where(n > 1, n - 1, np.nan))
    alike = (n > 1) & ~spread & (np.abs(mean) <= SAME)
    return np.where(alike, 1.0, p)


def holm(p: ArrayLike) -> Floats:
    """P-values adjusted for being one family (Holm 1979); those below ``ALPHA`` are found.

    However many of the hypotheses are true and however they hang together, the chance that any
    true one is rejected is at most ``ALPHA``. NaN, a test that can't be had, stays and is none.
    """
    p = np.asarray(p, dtype="float64")
    # Written out: that of statsmodels collects garbage in each call, which takes far longer.
    order = np.argsort(p)  # NaN comes last
    tests = int((~np.isnan(p)).sum())
    steps = p[order] * np.maximum(tests - np.arange(len(p)), 1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted


def outcome(difference: float, p: float) -> str:
    """What a test says of a difference: ``better``, ``worse``, ``unclear`` (not distinguishable) or
    ``untested`` (one seed, or no spread between several). ``p`` is corrected."""
    if math.isnan(p):
        return "untested"
    if p >= ALPHA:
        return "unclear"
    return "better" if difference > 0 else "worse"


def detectable(sd: ArrayLike, n: ArrayLike, tests: int) -> Floats:
    """How large a mean of n paired differences must be to be found in a family of ``tests``.

    t(1 - α / 2 tests; n - 1) · sd / √n: Holm's first step, which is the strictest.
    """
    n = np.asarray(n, dtype="float64")
    quantile = _t_quantile(1 - ALPHA / 2 / tests, np.where(n > 1, n - 1, np.nan))
    return np.asarray(quantile * np.asarray(sd) / np.sqrt(n))


def _t_quantile(p: float, freedom: ArrayLike) -> Floats:
    # As scipy.stats does it, which takes long to import.
    return np.asarray(special.stdtrit(np.asarray(freedom, dtype="float64"), p))


def _t_beyond(t: ArrayLike, freedom: ArrayLike) -> Floats:
    """The chance of a value above ``t``."""
    freedom = np.asarray(freedom, dtype="float64")
    return np.asarray(special.stdtr(freedom, -np.asarray(t, dtype="float64")))


# ── over problems, for these problems ─────────────────────────────────────────────────────────


def stratified(
    paired: Sequence[Floats], unpaired: Sequence[tuple[Floats, Floats]] = ()
) -> Estimate:
    """The mean over strata of a mean difference, with its t interval and t test.

    ``paired`` has the differences of each stratum, ``unpaired`` the two sides of each where seeds
    don't pair them. Every stratum counts alike: with S of them the squared standard error is
    Σ sd²/n / S², a term for each independent mean, and its degrees of freedom are Welch and
    Satterthwaite's. One paired stratum is the paired t test, an unpaired one is Welch's. The
    interval holds for these strata; it doesn't tell of others.
    """
    strata = len(paired) + len(unpaired)
    value = sum(d.mean() for d in paired) + sum(a.mean() - b.mean() for a, b in unpaired)
    value = float(value) / strata
    value = value if abs(value) > SAME else 0.0
    means = [*paired, *(side for sides in unpaired for side in sides)]
    if min(map(len, means)) < 2:
        return Estimate(value, math.nan, math.nan)
    terms = np.array([part.var(ddof=1) / len(part) for part in means]) / strata**2
    error = math.sqrt(terms.sum())
    if error <= SAME:
        return Estimate(value, 0.0, math.nan if value else 1.0)
    shares = terms / terms.sum()
    freedom = 1 / sum(share**2 / (len(p) - 1) for share, p in zip(shares, means, strict=True))
    half = error * _t_quantile((1 + LEVEL) / 2, freedom)
    return Estimate(value, float(half), float(2 * _t_beyond(abs(value) / error, freedom)))


def sign_flip(paired: Sequence[Floats]) -> float:
    """P-value of the permutation test that the mean over strata of paired differences is 0.

    Under the null hypothesis the two strategies are one, so that in each block, a stratum and a
    seed, their names could be exchanged: the difference could as well have the other sign. All
    signs are tried where there are at most ``RESAMPLES`` of them, else so many at random. No p is
    below :func:`least_p`.
    """
    weighted = np.concatenate([d / len(d) for d in paired])
    signs = _signs(len(weighted))
    rounding = SAME * np.abs(weighted).sum()
    as_far = np.abs(signs @ weighted) >= abs(weighted.sum()) - rounding
    if len(signs) < RESAMPLES:
        return float(as_far.mean())
    return float((as_far.sum() + 1) / (RESAMPLES + 1))


@lru_cache(maxsize=4)
def _signs(blocks: int) -> Floats:
    """All ways to sign so many blocks, or ``RESAMPLES`` of them [ways, blocks].

    Kept, since a suite asks for them once for every two strategies: scipy's ``permutation_test``
    draws them anew each time, and that is most of its time.
    """
    if 2**blocks <= RESAMPLES:
        bits = np.arange(2**blocks)[:, None] >> np.arange(blocks) & 1
    else:
        bits = np.random.default_rng(0).integers(0, 2, (RESAMPLES, blocks), dtype=np.int8)
    return 2 * bits.astype("float64") - 1


def least_p(blocks: int) -> float:
    """The smallest p that signs of so many blocks can give: all alike, or all the other way."""
    return min(1.0, 2.0 ** (1 - blocks))


def probability_of_improvement(left: Floats, right: Floats) -> float:
    """P(X > Y) for a run X of ``left`` [N] and a run Y of ``right`` [M], ties counted half.

    Agarwal et al. (2021), from all N · M pairs.
    """
    ahead = left[:, None] - right[None, :]
    wins = np.where(np.abs(ahead) > SAME, np.sign(ahead), 0.0)
    return float((0.5 + 0.5 * wins).mean())


# ── over problems, for problems in general ────────────────────────────────────────────────────


def two_stage_bootstrap(paired: Sequence[Floats]) -> tuple[float, float]:
    """An interval of the mean difference for problems like these, which are a sample too.

    Problems are drawn with replacement and, for each, its seeds (Davison & Hinkley 1997, §3.8).
    Drawn plainly that counts the luck of seeds twice, once in the problems' means and once again
    in their seeds, and the spread of few problems too small; so the means are first drawn
    together and the residuals spread to their unbiased variances. The ends are percentiles moved
    out as far as t is beyond the normal distribution (Hesterberg 2015, §5.3).
    """
    draw = np.random.default_rng(0)
    problems = len(paired)
    seeds = min(map(len, paired))
    means = np.array([d.mean() for d in paired])
    residuals = np.zeros(1)
    within = 0.0  # a single seed has no spread to show: all luck is in the problems' means
    if seeds > 1:
        within = float(np.mean([d.var(ddof=1) / len(d) for d in paired]))
        residuals = np.concatenate(
            [(d - d.mean()) * math.sqrt(len(d) / (len(d) - 1)) for d in paired]
        )
    between = means.var(ddof=1)
    if between > SAME**2:
        shrink = math.sqrt(max(between - within, 0) / between * problems / (problems - 1))
        means = means.mean() + shrink * (means - means.mean())
    drawn = draw.choice(means, (RESAMPLES, problems)).mean(axis=1)
    for _ in range(seeds):
        drawn += draw.choice(residuals, (RESAMPLES, problems)).mean(axis=1) / seeds
    tail = special.ndtr(-_t_quantile((1 + LEVEL) / 2, problems - 1))
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return float(low), float(high)


@dataclass(frozen=True)
class Ranks:
    """``average``: each strategy's rank, 1 the best, mean over problems [k]; ``friedman``: p that
    all are alike; ``nemenyi``: p of each two [k, k]."""

    average: Floats
    friedman: float
    nemenyi: Floats


def ranks(scores: Floats) -> Ranks:
    """Average ranks of k ≥ 3 strategies on N problems, with Friedman's and Nemenyi's tests.

    ``scores`` is [N, k], higher is better, ties share their ranks. As Demšar (2006) has it: the
    problems are the blocks, since results on one problem are no independent evidence.
    """
    from scipy import stats as distributions

    problems, k = scores.shape
    scores = exact_ties(scores)
    average = distributions.rankdata(-scores, axis=1).mean(axis=0)
    tied = bool((np.ptp(scores, axis=1) == 0).all())
    friedman = 1.0 if tied else float(distributions.friedmanchisquare(*scores.T).pvalue)
    apart = np.abs(average[:, None] - average) / math.sqrt(k * (k + 1) / (6 * problems))
    upper = np.triu_indices(k, 1)
    nemenyi = np.ones((k, k))
    nemenyi[upper] = distributions.studentized_range.sf(math.sqrt(2) * apart[upper], k, np.inf)
    nemenyi.T[upper] = nemenyi[upper]
    return Ranks(average, friedman, nemenyi)


# ── over test examples: two trained models ────────────────────────────────────────────────────


@dataclass(frozen=True)
class Models:
    """How two trained models do on the same test examples, or episodes.

    ``difference`` of their accuracies, left minus right, its interval, and the p that on all
    examples of this kind there is none. It says nothing of what other seeds would have trained.
    """

    difference: float
    low: float
    high: float
    p: float
    n: int
    over: str

    @property
    def differ(self) -> bool:
        """Whether the test finds a difference."""
        return self.p < ALPHA

    def corrected(self, p: float) -> Models:
        return replace(self, p=p)


def models(left: NDArray[Any], right: NDArray[Any]) -> Models:
    """Test two models on the same data: ``left`` and ``right`` say what each got right.

    Args:
        left, right: bool [N], a test example each: McNemar's exact test (1947) and the paired
            percentile bootstrap over examples. Or float [E], an episode's accuracy each: the
            paired t test and interval over episodes, since examples of one episode share a model.
    """
    if left.dtype == bool:
        return _examples(int((left & ~right).sum()), int((~left & right).sum()), len(left))
    found = stratified([left - right])
    low, high = found.value - found.half, found.value + found.half
    return Models(found.value, low, high, found.p, len(left), "episodes")


def _examples(better: int, worse: int, n: int) -> Models:
    from scipy import stats as distributions

    p = distributions.binomtest(better, better + worse).pvalue if better + worse else 1.0
    # Drawing n examples with replacement draws how many are of each of three kinds.
    shares = [better / n, worse / n, (n - better - worse) / n]
    drawn = np.random.default_rng(0).multinomial(n, shares, RESAMPLES)
    low, high = np.quantile((drawn[:, 0] - drawn[:, 1]) / n, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Models((better - worse) / n, float(low), float(high), float(p), n, "examples")
