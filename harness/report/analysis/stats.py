"""Intervals, tests and corrections: pure functions on arrays that know no suite.

A *paired difference* is what one seed gave two strategies: the same split and the same draws, so
that what they share is gone from it. All intervals are two-sided at ``LEVEL``, and so are all
tests. Whatever draws does so from a fixed seed: the same numbers give the same report.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

Floats: TypeAlias = NDArray[np.float64]

LEVEL = 0.95
ALPHA = 0.05
"""The chance that a page says of any two strategies that they differ while none of those do: all
that it decides comes out of this (:mod:`harness.report.analysis.decisions`)."""
SAME = 1e-9
"""Means of accuracies that are closer than this are the same but for the rounding of floats: two
that differ do so by at least one answer, of fewer than 10⁹ that a mean is over."""

RESAMPLES = 9999
"""Bootstrap samples of test examples."""
FLIPS = 99_999
"""Ways to sign blocks that are tried, where there are more than 2¹⁶ of them."""
PROBLEMS_FOR_RANKS = 5
"""With fewer, an average rank is hardly more than the ranks that it is of."""
PROBLEMS_IN_GENERAL = 3
"""Fewer are no sample of problems."""


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


def half_width(sd: ArrayLike, n: ArrayLike, freedom: ArrayLike | None = None) -> Floats:
    """Half of Student's t interval of a mean: t · sd / √n; NaN for a single value.

    Args:
        sd: sample standard deviations, n - 1 in the denominator, of any shape.
        n: how many values each is of.
        freedom: degrees of freedom, n - 1 where nothing else is said.
    """
    n = np.asarray(n, dtype="float64")
    several = np.where(n > 1, n, np.nan)
    freedom = several - 1 if freedom is None else freedom
    return np.asarray(sd) * t_quantile((1 + LEVEL) / 2, freedom) / np.sqrt(several)


def paired_p(
    mean: ArrayLike, sd: ArrayLike, n: ArrayLike, freedom: ArrayLike | None = None
) -> Floats:
    """P-values of the paired t test, from the mean and sd of n differences each.

    The t test it is, since with the 3 to 10 seeds of a suite no other has a chance: n pairs can
    be signed in 2ⁿ ways, so that Wilcoxon's signed ranks and permutations give no p below
    2^(1 - n), which is 0.25 for three seeds and above 0.05 up to five.

    Differences that are all the same and not 0 have no test (NaN): few seeds and a small test
    split make that a matter of chance, and a spread of 0 would let it pass for certainty.

    Args:
        freedom: of each sd, n - 1 where nothing else is said.
    """
    mean, sd, n = (np.asarray(given, dtype="float64") for given in (mean, sd, n))
    freedom = n - 1 if freedom is None else np.asarray(freedom, dtype="float64")
    spread = sd > SAME
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.abs(mean) * np.sqrt(n) / np.where(spread, sd, np.nan)
        p = 2 * _t_beyond(t, np.where(n > 1, freedom, np.nan))
    alike = (n > 1) & ~spread & (np.abs(mean) <= SAME)
    return np.where(alike, 1.0, p)


def holm(p: ArrayLike) -> Floats:
    """P-values adjusted for being one family (Holm 1979); those below α are found.

    However many of the hypotheses are true and however they hang together, the chance that any
    true one is rejected is at most α. NaN, a test that can't be had, stays and is none.
    """
    p = np.asarray(p, dtype="float64")
    # Written out: that of statsmodels collects garbage in each call, which takes far longer.
    order = np.argsort(p)  # NaN comes last
    tests = int((~np.isnan(p)).sum())
    steps = p[order] * np.maximum(tests - np.arange(len(p)), 1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted


def outcome(difference: float, p: float, alpha: float = ALPHA) -> str:
    """What a test says of a difference: ``better``, ``worse``, ``unclear`` (not distinguishable) or
    ``untested`` (one seed, or no spread between several). ``p`` is corrected."""
    if math.isnan(p):
        return "untested"
    if p >= alpha:
        return "unclear"
    return "better" if difference > 0 else "worse"


def accuracy_interval(mean: float, half: float, examples: float) -> tuple[float, float]:
    """An interval of a mean accuracy that stays within 0 to 1.

    ``mean`` ± ``half`` where that does. Near the edge the same on the scale of logits, by the
    delta method; and where every answer was right, or none, Clopper and Pearson's (1934) of so
    many test ``examples``, since there is no spread to judge by. NaN where it is not known.
    """
    low, high = mean - half, mean + half
    if math.isnan(low) or (low >= 0 and high <= 1 and 0 < mean < 1):
        return low, high
    if not SAME < mean < 1 - SAME:
        if math.isnan(examples):
            return math.nan, math.nan
        edge = ((1 - LEVEL) / 2) ** (1 / examples)
        return (edge, 1.0) if mean > 0.5 else (0.0, 1 - edge)
    centre, reach = math.log(mean / (1 - mean)), half / (mean * (1 - mean))
    return float(special.expit(centre - reach)), float(special.expit(centre + reach))


def t_quantile(p: float, freedom: ArrayLike) -> Floats:
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
    half = error * t_quantile((1 + LEVEL) / 2, freedom)
    return Estimate(value, float(half), float(2 * _t_beyond(abs(value) / error, freedom)))


def sign_flips(blocks: Floats) -> Floats:
    """P-values of the permutation test that columns of blocks [B, P] sum to 0 [P].

    Under the null hypothesis two strategies are one, so that in each block, a problem and a seed,
    their names could be exchanged: the difference could as well have the other sign. All signs
    are tried where there are at most 2¹⁶ that differ by more than all of them, else ``FLIPS`` at
    random. No p is below :func:`least_p`.
    """
    rounding = SAME * np.abs(blocks).sum(axis=0)
    reached = np.abs(blocks.sum(axis=0)) - rounding
    as_far, ways = np.zeros(blocks.shape[1]), 0
    for signs in _signs(len(blocks)):
        as_far += (np.abs(signs @ blocks) >= reached).sum(axis=0)
        ways += len(signs)
    return as_far / ways


def weighted(paired: Sequence[Floats]) -> Floats:
    """The blocks of all strata, each by its share of the mean over strata, for ``sign_flips``."""
    return np.concatenate([d / len(d) for d in paired])


EXACT = 17
"""Blocks of which all ways to sign them are tried."""


def _signs(blocks: int) -> Iterator[Floats]:
    """Ways to sign so many blocks, by and by [ways, blocks], the first of which is as it is."""
    if blocks <= EXACT:
        bits = np.arange(2 ** (blocks - 1))[:, None] >> np.arange(blocks) & 1
        yield 1 - 2 * bits.astype("float64")
        return
    draw = np.random.default_rng(0)
    yield np.ones((1, blocks))
    for start in range(0, FLIPS, 10_000):
        ways = min(10_000, FLIPS - start)
        yield 2 * draw.integers(0, 2, (ways, blocks)).astype("float64") - 1


def least_p(blocks: int) -> float:
    """The smallest p that signs of so many blocks can give."""
    return 2.0 ** (1 - blocks) if blocks <= EXACT else 1 / (FLIPS + 1)


def probability_of_improvement(left: Floats, right: Floats) -> float:
    """P(X > Y) for a run X of ``left`` [..., N] and a run Y of ``right`` [..., M], ties counted
    half; the mean over what stands before.

    Agarwal et al. (2021), from all N · M pairs.
    """
    ahead = left[..., :, None] - right[..., None, :]
    wins = np.where(np.abs(ahead) > SAME, np.sign(ahead), 0.0)
    return float((0.5 + 0.5 * wins).mean())


# ── over problems, for problems in general ────────────────────────────────────────────────────


def in_general(means: Floats) -> Estimate:
    """The mean of a difference for problems like these, which are a sample too.

    ``means``: that of each problem [N], N - 1 degrees of freedom. It holds as far as problems are
    drawn from those that it is to hold for, which nobody has done.
    """
    if len(means) < PROBLEMS_IN_GENERAL:
        return Estimate(float(means.mean()), math.nan, math.nan)
    return stratified([means])


def ranks(scores: Floats) -> Floats:
    """Average ranks of k strategies on N problems, 1 the best [k]: a description, not a test.

    ``scores`` is [N, k], higher is better, ties share their ranks (Demšar 2006).
    """
    from scipy import stats as distributions

    ranked = distributions.rankdata(-exact_ties(scores), axis=1)
    return np.asarray(ranked.mean(axis=0))


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
