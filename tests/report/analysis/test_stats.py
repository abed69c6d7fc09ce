"""Statistics against scipy, statsmodels and cases worked out by hand, and their promises kept on
simulated results of known truth: the rates are printed (``pytest -s``)."""

from __future__ import annotations

import itertools
import math
from unittest import mock

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats as scipy_stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from harness.report.analysis import stats

few = settings(max_examples=25, deadline=None)
fractions = st.integers(0, 1000).map(lambda n: n / 1000)
TESTED = 2000
"""Test examples of a simulated accuracy."""


def rate(name: str, found: NDArray[np.bool_]) -> float:
    share = float(np.mean(found))
    print(f"{name}: {share:.4f} of {np.size(found)}")
    return share


def accuracies(draw: np.random.Generator, shape: tuple[int, ...], gain: float = 0.0) -> NDArray:
    """Accuracies [..., seeds, 2] of two strategies, the second ``gain`` above the first: a split's
    luck that they share, each one's own, and that of the ``TESTED`` examples."""
    shared = draw.normal(0, 0.02, (*shape, 1))
    own = draw.normal(0, 0.01, (*shape, 2))
    return draw.binomial(TESTED, 0.8 + shared + own + [0, gain]) / TESTED


def signs(d: NDArray) -> float:
    return float(stats.sign_flips(d[:, None])[0])


def paired_tests(differences: NDArray) -> tuple[NDArray, NDArray]:
    """Half widths and p-values over the last axis."""
    n, sd = differences.shape[-1], differences.std(axis=-1, ddof=1)
    return stats.half_width(sd, n), stats.paired_p(differences.mean(axis=-1), sd, n)


# ── against others and by hand ────────────────────────────────────────────────────────────────


SEEDS = [[0.7, 0.8, 0.9, 0.7, 0.8], [0.9, 0.7, 0.8, 0.8, 0.7], [0.8, 0.9, 0.8, 0.7, 0.7]]
"""Five seeds of three strategies, the same accuracies in three orders."""

answers = st.integers(1, 10_000).flatmap(
    lambda of: st.lists(st.integers(0, of).map(lambda right: right / of), min_size=2, max_size=10)
)
"""Accuracies of several seeds on one test split."""


def test_the_same_accuracies_in_another_order_are_a_tie() -> None:
    means = np.mean(SEEDS, axis=1)
    assert len({*means}) > 1  # as floats they differ
    found = stats.ranks(np.tile(means, (5, 1)))
    assert list(found) == [2, 2, 2]


@few
@given(st.lists(answers, min_size=2, max_size=6), st.randoms())
def test_orders_of_the_same_seeds_have_equal_ranks(problems: list[list[float]], chance) -> None:
    orders = [[chance.sample(seeds, len(seeds)) for _ in range(3)] for seeds in problems]
    found = stats.ranks(np.array([[np.mean(seeds) for seeds in three] for three in orders]))
    assert list(found) == [2, 2, 2]


@few
@given(st.integers(1, 10_000), st.data())
def test_ties_are_those_of_exact_fractions(of: int, data: st.DataObject) -> None:
    """Means of five seeds are equal, lower or higher as their numbers of right answers are."""
    seeds = st.lists(st.integers(0, of), min_size=5, max_size=5)
    right = np.array(data.draw(st.lists(seeds, min_size=2, max_size=6)))
    found = stats.exact_ties((right / of).mean(axis=1))
    counts = right.sum(axis=1)
    assert (np.sign(found[:, None] - found) == np.sign(counts[:, None] - counts)).all()


def test_what_is_not_there_ties_with_nothing() -> None:
    found = stats.exact_ties([[math.nan, 0.3], [0.1 + 0.2, math.nan]])
    assert found[0, 1] == found[1, 0] == 0.3
    assert np.isnan(found).sum() == 2
    assert stats.exact_ties([]).shape == (0,)


def test_runs_that_differ_by_rounding_alone_are_no_improvement() -> None:
    left, right = np.array([np.mean(SEEDS[0])]), np.array([np.mean(SEEDS[1])])
    assert left != right
    assert stats.probability_of_improvement(left, right) == 0.5


def test_a_difference_of_rounding_is_none() -> None:
    differences = np.array([0.3, 0.8, 0.6, 0.9, 0.1]) - np.array([0.8, 0.9, 0.1, 0.3, 0.6])
    assert differences.mean() != 0  # the same five accuracies on either side
    found = stats.stratified([differences])
    assert (found.value, found.p) == (0.0, 1.0)


@few
@given(st.lists(st.tuples(fractions, fractions), min_size=2, max_size=12))
def test_the_paired_t_test_and_its_interval_are_scipys(pairs: list[tuple[float, float]]) -> None:
    left, right = np.array(pairs).T
    assume(np.std(left - right) > 1e-6)
    expected = scipy_stats.ttest_rel(left, right)
    low, high = expected.confidence_interval(0.95)
    half, p = map(float, paired_tests(left - right))
    assert p == pytest.approx(expected.pvalue)
    assert half == pytest.approx((high - low) / 2)
    together = stats.stratified([left - right])
    assert (together.half, together.p) == pytest.approx((half, p))


def test_half_width_by_hand() -> None:
    # t(2) at 97.5 % is 4.302653: 4.302653 · 0.1 / √3 = 0.248414
    assert stats.half_width(0.1, 3) == pytest.approx(0.248414, abs=1e-6)


def test_one_value_has_no_interval_and_no_test() -> None:
    assert np.isnan(stats.half_width(0.1, 1))
    assert np.isnan(stats.paired_p(0.1, 0.0, 1))
    assert np.isnan(stats.stratified([np.array([0.1])]).p)


def test_differences_that_are_all_the_same_claim_nothing() -> None:
    assert np.isnan(stats.paired_p(0.3, 0.0, 3))
    assert stats.paired_p(0.0, 0.0, 3) == 1
    assert math.isnan(stats.stratified([np.array([0.3, 0.1 + 0.2])]).p)
    assert stats.stratified([np.zeros(3)]).p == 1


@few
@given(st.lists(st.floats(0, 1) | st.just(math.nan), max_size=20))
def test_holm_is_that_of_statsmodels_and_leaves_out_what_was_not_tested(p: list[float]) -> None:
    adjusted = stats.holm(p)
    had = [one for one in p if not math.isnan(one)]
    with mock.patch("gc.collect"):  # it collects garbage each time, of all of this process
        expected = multipletests(had, method="holm")[1] if had else []
    assert adjusted[~np.isnan(p)] == pytest.approx(expected)
    assert np.isnan(adjusted[np.isnan(p)]).all()


def test_holm_by_hand() -> None:
    # Three times the least; twice the next, which is no less than that; once the last.
    assert stats.holm([0.02, 0.01, 0.5]) == pytest.approx([0.04, 0.03, 0.5])
    assert stats.holm([0.011, 0.01]) == pytest.approx([0.02, 0.02])


@few
@given(
    st.lists(fractions, min_size=2, max_size=6),
    st.lists(fractions, min_size=2, max_size=6),
)
def test_an_unpaired_stratum_is_welchs_test(left: list[float], right: list[float]) -> None:
    a, b = np.array(left), np.array(right)
    assume(a.std() > 1e-6 and b.std() > 1e-6)
    expected = scipy_stats.ttest_ind(a, b, equal_var=False)
    low, high = expected.confidence_interval(0.95)
    found = stats.stratified([], [(a, b)])
    assert found.p == pytest.approx(expected.pvalue)
    assert found.value - found.half == pytest.approx(low)
    assert found.value + found.half == pytest.approx(high)


def test_strata_count_alike_whatever_seeds_they_have() -> None:
    # sd² / n is 1/3 and 2/4; the error is √(1/3 + 1/2) / 2.
    one, other = np.array([1.0, 2, 3]), np.array([2.0, 4, 2, 0]) + np.array([0, 0, 0, 0.0])
    error = math.sqrt(1 / 3 + other.var(ddof=1) / 4) / 2
    freedom = (1 / 3 + other.var(ddof=1) / 4) ** 2 / (
        (1 / 3) ** 2 / 2 + (other.var(ddof=1) / 4) ** 2 / 3
    )
    found = stats.stratified([one, other])
    assert found.value == 2
    assert found.half == pytest.approx(error * scipy_stats.t.ppf(0.975, freedom))


@few
@given(st.lists(st.integers(-9, 9), min_size=2, max_size=8))
def test_the_permutation_test_counts_signs(differences: list[int]) -> None:
    """Every way to sign them, counted one by one."""
    d = np.array(differences, dtype=float)
    sums = np.array([(d * signs).sum() for signs in itertools.product([1, -1], repeat=len(d))])
    assert signs(d) == pytest.approx((abs(sums) >= abs(d.sum())).mean())


@pytest.mark.parametrize("blocks", [6, 40])
def test_the_permutation_test_is_scipys(blocks: int) -> None:
    """With 40 blocks both try signs at random, and agree as nearly as 9,999 of them can."""
    d = np.random.default_rng(blocks).normal(0.3, 1, blocks)
    expected = scipy_stats.permutation_test(
        (d,), np.sum, permutation_type="samples", n_resamples=9999, random_state=1
    )
    assert signs(d) == pytest.approx(expected.pvalue, abs=0.015)


def test_no_permutation_test_can_find_anything_with_few_blocks() -> None:
    ahead = stats.weighted([np.full(3, 0.1), np.full(3, 0.2)])
    assert signs(ahead) == stats.least_p(6) == 1 / 32
    assert signs(np.ones(5)) == 0.0625
    assert signs(np.ones(stats.EXACT)) == stats.least_p(stats.EXACT)
    assert signs(np.ones(40)) == stats.least_p(40) == 1 / 100_000


def test_probability_of_improvement_by_hand() -> None:
    # Of six pairs three are won, two tied and one lost.
    left, right = np.array([0.5, 0.7, 0.9]), np.array([0.7, 0.5])
    wins = sum((a > b) + 0.5 * (a == b) for a in left for b in right) / 6
    assert stats.probability_of_improvement(left, right) == pytest.approx(wins) == 4 / 6
    assert stats.probability_of_improvement(left, left) == 0.5


def test_ranks_are_demsars() -> None:
    draw = np.random.default_rng(1)
    scores = draw.random((7, 4)).round(1) + np.array([0, 0.3, 0.1, 0.5])
    found = stats.ranks(scores)
    higher = scores[:, None, :] > scores[:, :, None]
    ties = scores[:, None, :] == scores[:, :, None]
    by_hand = 0.5 + higher.sum(axis=2) + 0.5 * ties.sum(axis=2)
    assert found == pytest.approx(by_hand.mean(axis=0))


def test_scores_that_are_all_alike_share_their_rank() -> None:
    found = stats.ranks(np.full((6, 3), 0.5))
    assert list(found) == [2, 2, 2]


@few
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_mcnemars_test_is_that_of_statsmodels(outcomes: list[tuple[bool, bool]]) -> None:
    left, right = np.array(outcomes).T
    table = [[(left & right).sum(), (left & ~right).sum()], [(~left & right).sum(), 0]]
    found = stats.models(left, right)
    expected = mcnemar(table, exact=True).pvalue if (left != right).any() else 1
    assert found.p == pytest.approx(expected)
    assert found.difference == pytest.approx(left.mean() - right.mean())
    assert found.low <= found.difference + 1e-9
    assert found.high >= found.difference - 1e-9
    back = stats.models(right, left)
    assert (back.difference, back.p) == pytest.approx((-found.difference, found.p))


def test_episodes_are_the_units_where_there_are_episodes() -> None:
    draw = np.random.default_rng(0)
    left, right = draw.random((2, 50))
    found = stats.models(left, right)
    assert (found.n, found.over) == (50, "episodes")
    assert found.p == pytest.approx(scipy_stats.ttest_rel(left, right).pvalue)


# ── promises, on results of known truth ───────────────────────────────────────────────────────


@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
def test_intervals_over_seeds_cover_the_truth(seeds: int) -> None:
    draw = np.random.default_rng(seeds)
    both = accuracies(draw, (20_000, seeds), gain=0.03)
    for name, values, truth in (
        ("a mean", both[..., 0], 0.8),
        ("a paired difference", both[..., 1] - both[..., 0], 0.03),
    ):
        half, _ = paired_tests(values)
        inside = np.abs(values.mean(axis=-1) - truth) <= half
        assert 0.93 <= rate(f"coverage of {name}, {seeds} seeds", inside) <= 0.97


@pytest.mark.parametrize(("seeds", "examples"), [(3, 360), (5, 360), (5, 60), (10, 360)])
@pytest.mark.parametrize("level", [0.9, 0.97, 0.99])
def test_intervals_near_the_edge_cover_the_truth(seeds: int, examples: int, level: float) -> None:
    """Each seed trains and is tested anew: the luck of training on the scale of logits, and that
    of a test split of its own."""
    draw = np.random.default_rng(seeds)
    own = draw.normal(math.log(level / (1 - level)), 0.15, (4000, seeds))
    truth = (1 / (1 + np.exp(-draw.normal(math.log(level / (1 - level)), 0.15, 100_000)))).mean()
    scores = draw.binomial(examples, 1 / (1 + np.exp(-own))) / examples
    halves = stats.half_width(scores.std(axis=1, ddof=1), seeds)
    ends = [
        stats.accuracy_interval(*one, examples)
        for one in zip(scores.mean(axis=1), halves, strict=True)
    ]
    low, high = np.array(ends).T
    share = rate(f"coverage near {level}, {seeds} × {examples}", (low <= truth) & (truth <= high))
    assert 0.93 <= share <= 0.99  # accuracies that are all alike have an interval of width 0


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("shape", ["normal", "binomial"])
def test_suites_of_copies_rarely_say_that_any_two_differ(seeds: int, shape: str) -> None:
    """20,000 suites of 4 settings and 4 copies of one strategy: 24 comparisons each.

    Holm's rate is next to 5 % here; what is above it may only be the simulation's own chance.
    """
    draw = np.random.default_rng(seeds)
    size = (20_000, 4, seeds, 1)
    if shape == "normal":
        scores = draw.normal(0, 0.02, size) + draw.normal(0, 0.01, (*size[:-1], 4))
    else:
        chance = 0.95 + draw.normal(0, 0.01, size) + draw.normal(0, 0.005, (*size[:-1], 4))
        scores = draw.binomial(TESTED, np.clip(chance, 0, 1)) / TESTED
    left, right = np.triu_indices(4, 1)
    _, p = paired_tests(np.moveaxis(scores[..., left] - scores[..., right], 2, -1))
    found = [(stats.holm(suite.ravel()) < stats.ALPHA).any() for suite in p]
    share = rate(f"null suites with a finding, {seeds} seeds, {shape}", np.array(found))
    assert 0.03 <= share <= 0.05 + 2 * (0.05 * 0.95 / len(found)) ** 0.5
    uncorrected = rate("  without correction", (p < stats.ALPHA).any(axis=(1, 2)))
    assert uncorrected > 0.3


def test_suites_of_two_copies_rarely_say_that_they_differ() -> None:
    draw = np.random.default_rng(0)
    both = accuracies(draw, (4000, 6, 3))
    _, p = paired_tests(both[..., 1] - both[..., 0])
    found = np.array([(stats.holm(suite) < stats.ALPHA).any() for suite in p])
    assert rate("null suites of two copies with a finding", found) <= 0.05


def test_small_test_splits_don_t_make_chance_look_certain() -> None:
    """With 100 test examples, two seeds often give the very same difference."""
    draw = np.random.default_rng(0)
    both = draw.binomial(100, 0.95, (20_000, 2, 2)) / 100
    _, p = paired_tests(both[..., 1] - both[..., 0])
    assert rate("same difference twice", np.isnan(p)) > 0.02
    assert rate("null differences found, 2 seeds of 100 examples", p < stats.ALPHA) <= 0.05


@pytest.mark.parametrize(("seeds", "gain"), [(3, 0.06), (5, 0.02), (5, 0.04), (10, 0.015)])
def test_a_planted_difference_is_found_as_often_as_theory_predicts(seeds: int, gain: float) -> None:
    """Against the noncentral t, at the level of Holm's first step in a family of 10."""
    draw = np.random.default_rng(seeds)
    both = accuracies(draw, (20_000, seeds), gain)
    _, p = paired_tests(both[..., 1] - both[..., 0])
    level = stats.ALPHA / 10
    # Each own luck, and the variance of a share of TESTED examples at about 0.8 + gain / 2.
    variance = 2 * 0.01**2 + sum(a * (1 - a) for a in (0.8, 0.8 + gain)) / TESTED
    shift = gain / math.sqrt(variance / seeds)
    edge = scipy_stats.t.ppf(1 - level / 2, seeds - 1)
    theory = scipy_stats.nct.sf(edge, seeds - 1, shift) + scipy_stats.nct.cdf(
        -edge, seeds - 1, shift
    )
    share = rate(f"power, {seeds} seeds, {100 * gain:.1f} points; theory {theory:.4f}", p < level)
    assert 0.05 < theory < 0.99
    assert share == pytest.approx(theory, abs=0.015)


@pytest.mark.parametrize("problems", [1, 2, 5])
@pytest.mark.parametrize("spread", [1, 5])
def test_intervals_over_these_problems_cover_their_mean(problems: int, spread: int) -> None:
    """Also where every other problem has five times the spread between seeds."""
    draw = np.random.default_rng(problems)
    sd = np.where(np.arange(problems) % 2, spread, 1)[:, None]
    truth = draw.normal(0, 3, (5000, problems, 1))
    differences = truth + sd * draw.normal(size=(5000, problems, 3))
    found = [stats.stratified(list(suite)) for suite in differences]
    values, halves = (np.array([getattr(e, n) for e in found]) for n in ("value", "half"))
    inside = np.abs(values - truth.mean(axis=(1, 2))) <= halves
    assert 0.93 <= rate(f"coverage over {problems} problems, spread {spread}", inside) <= 0.97


@pytest.mark.parametrize("problems", [stats.PROBLEMS_IN_GENERAL, 5, 15])
@pytest.mark.parametrize("between", [0.5, 2.0])
def test_intervals_for_problems_in_general_cover_their_mean(problems: int, between: float) -> None:
    """Problems are drawn too: effects of spread ``between``, seeds of 1 within."""
    draw = np.random.default_rng(problems)
    suites = draw.normal(0, between, (3000, problems, 1)) + draw.normal(size=(3000, problems, 3))
    found = [stats.in_general(suite.mean(axis=1)) for suite in suites]
    inside = np.array([abs(each.value) <= each.half for each in found])
    share = rate(f"coverage for problems like {problems}, spread {between}", inside)
    assert 0.93 <= share <= 0.97


def test_two_problems_are_no_sample_of_problems() -> None:
    assert math.isnan(stats.in_general(np.array([0.1, 0.2])).half)


def test_the_permutation_test_rarely_finds_what_is_not_there() -> None:
    draw = np.random.default_rng(0)
    # Skewed by problem, alike in sign: what a t test would have to assume is not given.
    scale = draw.exponential(size=(1500, 3, 1))
    suites = scale * draw.normal(size=(1500, 3, 3))
    found = stats.sign_flips(np.stack([stats.weighted(suite) for suite in suites], axis=1)) < 0.05
    assert 0.035 <= rate("null differences found by signs", found) <= 0.055


def test_trained_models_that_are_alike_rarely_differ_and_intervals_cover() -> None:
    draw = np.random.default_rng(0)
    suites = draw.random((1200, 2, 500))
    results = [stats.models(a < 0.9, b < 0.9) for a, b in suites]
    assert rate("null models that differ", np.array([r.p < stats.ALPHA for r in results])) <= 0.05
    inside = np.array([r.low <= 0 <= r.high for r in results])
    assert 0.93 <= rate("coverage of the bootstrap over examples", inside) <= 0.97
