"""Expected best scores against all subsets and all orders, enumerated with fractions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import combinations, permutations, product
from statistics import fmean

import numpy as np
import pandas as pd
import pytest

from harness.report.analysis import budget
from harness.report.analysis.budget import Search, after_seconds, after_trials

NAN = float("nan")
DEFAULTS = Fraction(1, 2)
DRAWS = [Fraction(n, 16) for n in (9, 4, 13, 9, 15)]
"""With a tie, and one below the defaults."""
SCORES = [float(score) for score in (DEFAULTS, *DRAWS)]


def mean_of_best(samples: Sequence[Sequence[Fraction]]) -> float:
    return float(sum(max(DEFAULTS, *sample) for sample in samples) / len(samples))


@pytest.mark.parametrize("trials", range(2, 7))
def test_without_replacement_is_the_mean_over_all_subsets(trials: int) -> None:
    expected = mean_of_best(list(combinations(DRAWS, trials - 1)))
    assert after_trials(SCORES, [trials]) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("trials", range(2, 7))
def test_with_replacement_is_the_mean_over_all_samples(trials: int) -> None:
    expected = mean_of_best(list(product(DRAWS, repeat=trials - 1)))
    assert after_trials(SCORES, [trials], replace=True) == pytest.approx(expected, rel=1e-12)


def test_one_trial_is_the_defaults_and_all_are_the_best() -> None:
    assert after_trials(SCORES, [1, 6]).tolist() == [0.5, pytest.approx(15 / 16)]


def test_any_budgets_in_any_order() -> None:
    whole = after_trials(SCORES, range(1, 7))
    assert after_trials(SCORES, [4, 1, 6]) == pytest.approx(whole[[3, 0, 5]])


def test_an_unfinished_trial_takes_its_turn_and_is_never_the_best() -> None:
    # Of two draws one failed: half of the orders have nothing better than the defaults.
    assert after_trials([0.4, NAN, 0.8], [1, 2, 3]) == pytest.approx([0.4, 0.6, 0.8])


def test_where_an_order_has_no_finished_trial_nothing_is_expected() -> None:
    found = after_trials([NAN, NAN, 0.4, 0.8], [1, 2, 3, 4])
    assert np.isnan(found[:2]).all()
    # Two of three draws: with the failed one .4 or .8, without it .8.
    assert found[2:] == pytest.approx([(0.4 + 0.8 + 0.8) / 3, 0.8])


def test_as_run_is_the_best_so_far() -> None:
    found = after_trials([NAN, 0.2, 0.6, 0.4], [1, 2, 3, 4], as_run=True)
    assert found == pytest.approx([NAN, 0.2, 0.6, 0.6], nan_ok=True)


def test_many_trials_are_exact_too() -> None:
    scores = np.arange(2001) / 2000
    # The expected highest of b of the numbers 1 … m is b (m + 1) / (b + 1).
    for trials in (2, 17, 1001):
        draws = trials - 1
        expected = draws * 2001 / (draws + 1) / 2000
        assert after_trials(scores, [trials]) == pytest.approx(expected, rel=1e-9)


# ── seconds ───────────────────────────────────────────────────────────────────────────────────

COSTS = [2.0, 1.0, 5.0, 3.0, 0.5, 4.0]


@pytest.mark.parametrize("limit", [1.9, 2.0, 2.5, 4.25, 7.0, 11.0, 15.4, 15.5, 99.0])
def test_seconds_are_the_mean_over_all_orders(limit: float) -> None:
    found = []
    for order in permutations(range(1, 6)):
        spent, best = 0.0, -np.inf
        for trial in (0, *order):
            spent += COSTS[trial]
            best = max(best, SCORES[trial]) if spent <= limit else best
        found.append(best)
    expected = fmean(found) if limit >= 2 else NAN
    assert after_seconds(SCORES, COSTS, [limit]) == pytest.approx(expected, nan_ok=True)


def test_more_orders_than_are_tried_are_sampled() -> None:
    scores, costs = np.linspace(0, 1, 30), np.ones(30)
    # Where all take the same, seconds are trials; 1,000 orders are within some thousandths.
    after = np.array([2, 5, 20])
    sampled = after_seconds(scores, costs, after)
    assert sampled == pytest.approx(after_trials(scores, after.tolist()), abs=0.02)
    assert after_seconds(scores, costs, after).tolist() == sampled.tolist()


def test_a_single_trial_is_all_there_is_after_its_seconds() -> None:
    found = after_seconds([0.7], [2.0], [1, 2, 9])
    assert found == pytest.approx([np.nan, 0.7, 0.7], nan_ok=True)
    assert after_trials([0.7], [1]).tolist() == [0.7]


def test_seconds_as_run_count_one_order() -> None:
    found = after_seconds([0.2, 0.1, 0.6], [1, 2, 3], [0.5, 1, 3, 5.9, 6], as_run=True)
    assert found == pytest.approx([NAN, 0.2, 0.2, 0.2, 0.6], nan_ok=True)


# ── groups ────────────────────────────────────────────────────────────────────────────────────


def search(scores: Sequence[float], seconds: Sequence[float]) -> Search:
    return Search(np.asarray(scores, dtype=float), np.asarray(seconds, dtype=float))


GROUP = [search([0.2, 0.6, 0.4], [1, 1, 1]), search([0.4, NAN, 0.8], [10, 40, 40])]


def test_a_curve_is_the_mean_over_cells() -> None:
    curve = budget.over_trials(GROUP, as_run=False)
    assert curve["x"].tolist() == [1, 2, 3]
    # .2, (.6 + .4) / 2, .6 and .4, (.4 + .8) / 2, .8.
    assert curve["expected"].tolist() == pytest.approx([0.3, 0.55, 0.7])


def test_a_curve_over_seconds_has_every_cell_in_every_point() -> None:
    curve = budget.over_seconds(GROUP, as_run=False)
    assert curve["x"].iloc[[0, -1]].tolist() == [10, 90]
    assert curve["expected"].iloc[[0, -1]].tolist() == pytest.approx([0.5, 0.7])


def test_a_curve_goes_as_far_as_the_shortest_cell() -> None:
    longer = search([0.1] * 5, [1] * 5)
    assert budget.over_trials([GROUP[0], longer], as_run=False)["x"].tolist() == [1, 2, 3]


def test_the_table_tells_budgets_that_were_spent() -> None:
    rows = budget.table({(0, "a"): GROUP, (0, "b"): GROUP[:1]}, as_run=False)
    told = rows.set_index(["label", "unit", "budget"])
    assert sorted(set(rows["budget"][rows["unit"] == "trials"])) == [1, 3]
    assert sorted(set(rows["budget"][rows["unit"] == "seconds"])) == [10, 60]
    assert told.loc[("a", "trials", 3), "expected"] == pytest.approx(0.7)
    # At 60 s the second cell has had one of its two draws, and the first all of them.
    assert told.loc[("a", "seconds", 60), "expected"] == pytest.approx((0.6 + 0.6) / 2)
    assert told.loc[("a", "seconds", 60), "outlasts"]
    assert told.loc[("a", "trials", 3), "expected_replaced"] == pytest.approx(
        (0.55 + (0.4 + 3 * 0.8) / 4) / 2
    )
    assert not told.loc[("a", "trials", 3), "outlasts"]


def test_cells_that_are_scored_by_something_else_have_no_search(
    frame_of: Callable[..., pd.DataFrame],
) -> None:
    cells = frame_of({"a": [0.5, 0.5], "b": [0.5]}).assign(planned=[2, 2, 1])
    one, *_, last = cells["cell"]
    columns = ["cell", "number", "state", "value", "seconds"]
    rows = [(last, 1, "complete", 0.7, 2.0), (last, 0, "failed", None, 1.0)]
    rows.append((one, 0, "complete", 0.5, 1.0))
    found = budget.searches(cells, pd.DataFrame(rows, columns=columns))
    assert [label for _, label in found] == ["b"]
    (only,) = found[0, "b"]
    assert only.scores == pytest.approx([NAN, 0.7], nan_ok=True)
    assert only.seconds.tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"sampler": "tpe"}, False),
        ({"pruner": "median"}, False),
        ({"prepare_trials": 2}, False),
    ],
)
def test_trials_are_exchangeable_under_random_search_alone(
    changes: dict[str, object], expected: bool
) -> None:
    assert budget.exchangeable({"trials": 8, **changes}) is expected
