"""Moderated spreads against the formulas written out in loops, cases by hand, and properties."""

from __future__ import annotations

import math
from statistics import fmean, median, variance

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import digamma, polygamma

from harness.report.analysis.moderated import MOST_FREEDOM, inverse_trigamma, moderate

few = settings(max_examples=25, deadline=None)
seeds = st.integers(0, 2**32 - 1)

UNKNOWN = math.nan


def variances(seed: int, settings: int = 10, pairs: int = 6, freedom: float = 4) -> NDArray:
    """Sample variances of true ones that differ a little, over settings and over pairs."""
    draw = np.random.default_rng(seed)
    true = np.exp(draw.normal(0, 0.4, (settings, pairs)) + draw.normal(0, 0.5, pairs)) * 1e-4
    return true * draw.chisquare(freedom, (settings, pairs)) / freedom


# ── the formulas, one number at a time ────────────────────────────────────────────────────────


def trigamma_inverse(x: float) -> float:
    return float(brentq(lambda y: polygamma(1, y) - x, 1e-8, 1e8, xtol=1e-14))


def excess(z: list[dict[int, float]], noise: list[dict[int, float]]) -> tuple[float, dict, float]:
    """B, the pairs' centres and the excess variance, of log variances by setting and pair."""
    pairs = sorted({p for row in z for p in row})
    of = {p: [row[p] for row in z if p in row] for p in pairs}
    means = {p: fmean(values) for p, values in of.items()}
    grand = fmean(means.values())
    chance = fmean(variance(values) / len(values) for values in of.values() if len(values) > 1)
    kept = min(max(1 - chance / variance(means.values()), 0), 1)
    centre = {p: grand + kept * (means[p] - grand) for p in pairs}
    left = sum((row[p] - centre[p]) ** 2 for row in z for p in row)
    count = sum(map(len, z))
    spread = left / (count - 1 - kept * (len(pairs) - 1))
    return kept, centre, spread - sum(sum(row.values()) for row in noise) / count


def by_hand(given: NDArray, n: NDArray, examples: NDArray) -> tuple[NDArray, NDArray, float, float]:
    """The moderated sd and freedom, B and d₀."""
    z, noise = [], []
    for s, row in enumerate(given):
        known = {p: n[s, p] - 1 for p in range(len(row)) if n[s, p] > 1 and not math.isnan(row[p])}
        least = 0.0 if math.isnan(examples[s]) else 1 / (6 * examples[s] ** 2)
        z.append(
            {
                p: math.log(max(row[p], least)) - digamma(d / 2) + math.log(d / 2)
                for p, d in known.items()
            }
        )
        noise.append({p: float(polygamma(1, d / 2)) for p, d in known.items()})
    means = [fmean(row.values()) for row in z]
    middle = median(means)
    mad = 1.4826 * median(abs(mean - middle) for mean in means)
    far = [
        (mean - middle) / max(mad, math.sqrt(0.3 * fmean(row.values()))) > 3.5
        for mean, row in zip(means, noise, strict=True)
    ]
    kept_z = [row for row, flag in zip(z, far, strict=True) if not flag]
    kept_noise = [row for row, flag in zip(noise, far, strict=True) if not flag]
    kept, centre, ev = excess(kept_z, kept_noise)
    without = [
        excess(kept_z[:s] + kept_z[s + 1 :], kept_noise[:s] + kept_noise[s + 1 :])[2]
        for s in range(len(kept_z))
    ]
    size = len(without)
    ev += math.sqrt((size - 1) / size * sum((one - fmean(without)) ** 2 for one in without))
    prior = min(2 * trigamma_inverse(ev), 20.0) if ev > 0 else 20.0
    sd, freedom = np.sqrt(given), n - 1.0
    for s, row in enumerate(z):
        for p in row if not far[s] else ():
            before = math.exp(centre[p] + digamma(prior / 2) - math.log(prior / 2))
            least = 0.0 if math.isnan(examples[s]) else 1 / (6 * examples[s] ** 2)
            d = n[s, p] - 1
            sd[s, p] = math.sqrt((prior * before + d * max(given[s, p], least)) / (prior + d))
            freedom[s, p] = prior + d
    return sd, freedom, kept, prior


@few
@given(seeds)
def test_it_is_the_formulas(seed: int) -> None:
    """With settings of 3 to 10 seeds, pairs that are missing, grids, and a wild setting or none."""
    draw = np.random.default_rng(seed)
    given_ = variances(seed, 12)
    n = np.repeat(draw.integers(3, 11, (12, 1)), 6, axis=1)
    given_[draw.random((12, 6)) < 0.1] = np.nan
    given_[0] *= draw.choice([1, 1000])
    examples = draw.choice([UNKNOWN, 60, 360], 12)
    if np.isnan(given_).all(axis=1).any():
        return
    found = moderate(given_, n, examples)
    sd, freedom, kept, prior = by_hand(given_, n, examples)
    assert found.prior == pytest.approx(prior)
    assert found.kept == pytest.approx(kept)
    known = ~np.isnan(given_)
    assert found.sd[known] == pytest.approx(sd[known])
    assert found.freedom[known] == pytest.approx(freedom[known])


def test_pairs_that_are_alike_are_smyths_case() -> None:
    """Every pair has the same variances, in another order: B is 0, and what is left is the fit of
    Smyth (2004), section 6.2, and of limma: the variance of e beyond trigamma(d / 2) is that of
    trigamma(d₀ / 2). It is wide here, so that the jackknife's error stays below 3 %."""
    rising = np.exp(np.linspace(-3, 3, 400))
    given_ = np.stack([np.roll(rising, 40 * p) for p in range(3)], axis=1)
    found = moderate(given_, np.full(given_.shape, 5), np.full(400, UNKNOWN))
    e = np.log(rising) - digamma(2) + np.log(2)
    beyond = e.var(ddof=1) * 3 * 399 / (3 * 400 - 1) - polygamma(1, 2)
    assert found.kept == 0
    assert polygamma(1, found.prior / 2) == pytest.approx(beyond, rel=0.1)
    assert polygamma(1, found.prior / 2) > beyond  # by one jackknife standard error
    prior = found.prior
    before = math.exp(e.mean() + digamma(prior / 2) - math.log(prior / 2))
    assert found.prior_sd == pytest.approx([math.sqrt(before)] * 3)
    expected = (prior * before + 4 * given_[7, 1]) / (prior + 4)
    assert found.sd[7, 1] == pytest.approx(math.sqrt(expected))
    assert found.freedom[7, 1] == pytest.approx(prior + 4)


def test_the_inverse_of_trigamma_by_hand() -> None:
    # ψ′(1) = π² / 6, ψ′(2) = π² / 6 − 1, ψ′(1 / 2) = π² / 2 (Abramowitz & Stegun 6.4)
    assert inverse_trigamma(math.pi**2 / 6) == pytest.approx(1)
    assert inverse_trigamma(math.pi**2 / 6 - 1) == pytest.approx(2)
    assert inverse_trigamma(math.pi**2 / 2) == pytest.approx(0.5)


@few
@given(st.floats(1e-3, 1e6))
def test_the_inverse_of_trigamma_inverts_it(x: float) -> None:
    assert polygamma(1, inverse_trigamma(x)) == pytest.approx(x, rel=1e-7)


# ── what must hold ────────────────────────────────────────────────────────────────────────────


@few
@given(seeds, st.floats(0.01, 100))
def test_units_and_order_don_t_matter(seed: int, factor: float) -> None:
    given_, n, unknown = variances(seed), np.full((10, 6), 5), np.full(10, UNKNOWN)
    plain = moderate(given_, n, unknown)
    draw = np.random.default_rng(seed)
    rows, columns = draw.permutation(10), draw.permutation(6)
    turned = moderate(factor**2 * given_[rows][:, columns], n, unknown)
    assert turned.prior == pytest.approx(plain.prior)
    assert turned.sd == pytest.approx(factor * plain.sd[rows][:, columns])
    assert (turned.flagged == plain.flagged[rows]).all()


@few
@given(seeds)
def test_a_spread_is_drawn_towards_the_others_and_never_beyond(seed: int) -> None:
    given_ = variances(seed)
    found = moderate(given_, np.full((10, 6), 5), np.full(10, UNKNOWN))
    own, prior = np.sqrt(given_[~found.flagged]), found.prior_sd
    drawn = found.sd[~found.flagged]
    assert (drawn >= np.minimum(own, prior) - 1e-12).all()
    assert (drawn <= np.maximum(own, prior) + 1e-12).all()
    assert 0 < found.prior <= MOST_FREEDOM + 1e-6
    assert 0 <= found.kept <= 1


def test_variances_that_differ_by_chance_alone_are_nearly_one() -> None:
    draw = np.random.default_rng(0)
    given_ = 1e-4 * draw.chisquare(4, (40, 10)) / 4
    found = moderate(given_, np.full((40, 10), 5), np.full(40, UNKNOWN))
    assert found.prior == pytest.approx(MOST_FREEDOM)
    assert found.prior_sd == pytest.approx([0.01] * 10, rel=0.2)
    assert found.sd.std() < np.sqrt(given_).std() / 4


def test_a_wild_setting_keeps_its_own_spread_and_tells_nobody_else() -> None:
    calm = variances(0)
    wild = calm.copy()
    wild[3] *= 1e4
    n, unknown = np.full((10, 6), 5), np.full(10, UNKNOWN)
    found = moderate(wild, n, unknown)
    assert list(np.flatnonzero(found.flagged)) == [3]
    assert found.sd[3] == pytest.approx(np.sqrt(wild[3]))
    assert (found.freedom[3] == 4).all()
    rest = np.delete(np.arange(10), 3)
    without = moderate(calm[rest], n[rest], unknown[rest])
    assert found.sd[rest] == pytest.approx(without.sd)


@pytest.mark.parametrize("shape", [(7, 6), (20, 2), (20, 1), (0, 0)])
def test_too_few_to_learn_from_are_students_own(shape: tuple[int, int]) -> None:
    given_ = variances(0, *shape)
    found = moderate(given_, np.full(shape, 5), np.full(shape[0], UNKNOWN))
    assert found.prior == 0
    assert found.sd == pytest.approx(np.sqrt(given_))
    assert (found.freedom == 4).all()


def test_no_variance_is_below_that_of_rounding_to_the_grid() -> None:
    """Three seeds that differ by nothing: with 60 examples that is no certainty."""
    given_, n = variances(0), np.full((10, 6), 3)
    given_[2, 4] = 0
    floored = given_.copy()
    floored[2, 4] = 1 / (6 * 60**2)
    examples = np.full(10, UNKNOWN)
    examples[2] = 60
    found, expected = moderate(given_, n, examples), moderate(floored, n, examples)
    assert found.sd == pytest.approx(expected.sd)
    assert found.prior == pytest.approx(expected.prior)
    unknown = moderate(given_, n, np.full(10, UNKNOWN))
    assert unknown.sd[2, 4] == 0  # no test can be had of it


def test_one_seed_has_no_spread() -> None:
    n = np.full((10, 6), 5)
    n[1] = 1
    given_ = variances(0)
    given_[1] = np.nan
    found = moderate(given_, n, np.full(10, UNKNOWN))
    assert np.isnan(found.sd[1]).all()
    assert found.prior > 0
