"""Statistics against hand-derived cases, scipy and properties that must hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from harness.errors import HarnessError
from harness.report.analysis.design import CROSSING
from harness.report.analysis.results import baseline, summary, tidy
from harness.report.analysis.stats import accuracy_interval, holm
from harness.report.analysis.tests import evidence
from harness.shots import shots_order

FrameOf = Callable[..., pd.DataFrame]

few = settings(max_examples=15, deadline=None)
fractions = st.integers(0, 1000).map(lambda n: n / 1000)


def row(frame: pd.DataFrame, label: str) -> Any:
    table = summary(frame, evidence(frame).pairwise())
    return table[table["label"] == label].iloc[0]


# ── one group ─────────────────────────────────────────────────────────────────────────────────


def test_mean_and_interval_by_hand(frame_of: FrameOf) -> None:
    # sd of .5 .6 .7 is .1; t(2) at 97.5 % is 4.302653; 4.302653 · .1 / √3 = .248414
    got = row(frame_of({"a": [0.5, 0.6, 0.7]}), "a")
    assert got["accuracy"] == pytest.approx(0.6)
    assert got["accuracy_sd"] == pytest.approx(0.1)
    assert got["accuracy_half"] == pytest.approx(0.248414, abs=1e-6)
    assert (got["planned"], got["ok"], got["gap"], got["interval"]) == (3, 3, "", "seeds")


@few
@given(st.lists(fractions, min_size=2, max_size=12))
def test_the_interval_is_scipys(frame_of: FrameOf, accuracies: list[float]) -> None:
    assume(len(set(accuracies)) > 1)
    got = row(frame_of({"a": accuracies}), "a")
    low, high = scipy_stats.t.interval(
        0.95, len(accuracies) - 1, np.mean(accuracies), scipy_stats.sem(accuracies)
    )
    assert got["accuracy"] - got["accuracy_half"] == pytest.approx(low)
    assert got["accuracy"] + got["accuracy_half"] == pytest.approx(high)


def test_one_seed_has_no_interval(frame_of: FrameOf) -> None:
    got = row(frame_of({"a": [0.5]}), "a")
    assert got["accuracy"] == 0.5
    assert np.isnan(got["accuracy_half"])
    assert got["interval"] == ""


def test_one_seed_of_episodes_has_the_interval_over_episodes(frame_of: FrameOf) -> None:
    frame = frame_of({"a": [0.5]}, protocol="episodes", ways=5, accuracy_ci95=0.01)
    got = row(frame, "a")
    assert (got["accuracy_half"], got["interval"]) == (0.01, "episodes")


def test_several_seeds_of_episodes_have_the_interval_over_seeds(frame_of: FrameOf) -> None:
    frame = frame_of({"a": [0.5, 0.6]}, protocol="episodes", ways=5, accuracy_ci95=0.01)
    got = row(frame, "a")
    assert got["interval"] == "seeds"
    assert got["accuracy_half"] == pytest.approx(12.7062 * 0.0707107 / 2**0.5, rel=1e-4)


def test_costs_are_medians_and_peaks_the_highest(frame_of: FrameOf) -> None:
    frame = frame_of({"a": [0.5, 0.6, 0.9]}, cached="features")
    frame["seconds_total"] = [1.0, 2.0, 30.0]
    frame["peak_host_bytes"] = [10.0, 30.0, 20.0]
    frame["trainable_params"] = [5.0, 7.0, 6.0]
    frame["trials_failed"] = [0.0, 1.0, 1.0]
    frame["cached"] = ["", "features", "pretrain features"]
    got = row(frame, "a")
    names = ["seconds_total", "peak_host_bytes", "trainable_params", "trials_failed", "cached"]
    assert list(got[names]) == [2.0, 30.0, 6.0, 2.0, "features pretrain"]


# ── intervals within 0 to 100 % ───────────────────────────────────────────────────────────────


def test_an_interval_near_the_edge_is_one_of_logits() -> None:
    # logit(.98) = 3.8918; .03 / (.98 · .02) = 1.5306: expit(2.3612), expit(5.4224)
    assert accuracy_interval(0.98, 0.03, 100) == pytest.approx((0.91382, 0.99560), abs=1e-5)
    assert accuracy_interval(0.9, 0.03, 100) == pytest.approx((0.87, 0.93))


@few
@given(st.floats(0.001, 0.999), st.floats(0, 0.5))
def test_no_interval_leaves_what_an_accuracy_can_be(mean: float, half: float) -> None:
    low, high = accuracy_interval(mean, half, 100)
    assert 0 <= low <= mean <= high <= 1
    assert accuracy_interval(1 - mean, half, 100) == pytest.approx((1 - high, 1 - low))


@pytest.mark.parametrize("n", [10, 360])
def test_all_right_or_none_are_clopper_and_pearsons(n: int) -> None:
    for right in (0, n):
        expected = scipy_stats.binomtest(right, n).proportion_ci(0.95, "exact")
        found = accuracy_interval(right / n, 0.0, n)
        assert found == pytest.approx((expected.low, expected.high))


def test_all_right_of_unknown_many_have_no_interval() -> None:
    assert np.isnan(accuracy_interval(1.0, 0.0, np.nan)).all()


# ── gaps ──────────────────────────────────────────────────────────────────────────────────────

NUMBERS = ["accuracy", "accuracy_sd", "accuracy_half", "gain", "gain_half", "seconds_total"]


def test_a_group_with_a_failure_is_a_gap_and_never_a_mean(frame_of: FrameOf) -> None:
    got = row(frame_of({"from_scratch": [0.1, 0.2, 0.3], "a": [0.5, None, 0.7]}), "a")
    assert (got["gap"], got["reasons"]) == ("1 of 3 failed", "it broke")
    assert got[NUMBERS].isna().all()
    assert (got["planned"], got["ok"]) == (3, 2)


def test_a_gap_counts_each_status(frame_of: FrameOf) -> None:
    frame = frame_of({"a": [0.5, 0.5, 0.5, 0.5]})
    frame["status"] = ["ok", "pending", "oom", "pending"]
    frame["counts"] = frame["status"] == "ok"
    assert row(frame, "a")["gap"] == "2 of 4 pending, 1 of 4 oom"


def test_ok_without_an_accuracy_is_a_gap(frame_of: FrameOf) -> None:
    frame = frame_of({"a": [0.5, None]}, status="ok")
    assert row(frame, "a")["gap"] == "1 of 2 without accuracy"


def test_a_metric_of_a_failed_cell_is_not_used(frame_of: FrameOf) -> None:
    got = row(frame_of({"a": [0.5, 0.5]}, status="timeout"), "a")
    assert got["gap"] == "2 of 2 timeout"
    assert np.isnan(got["accuracy"])


def test_a_gap_in_the_baseline_leaves_no_gain(frame_of: FrameOf) -> None:
    got = row(frame_of({"from_scratch": [0.1, None], "a": [0.5, 0.7]}), "a")
    assert got["accuracy"] == pytest.approx(0.6)
    assert np.isnan(got["gain"])


# ── gains ─────────────────────────────────────────────────────────────────────────────────────


def test_gain_is_paired_and_in_points(frame_of: FrameOf) -> None:
    # Differences 10, 20 and 30 points: mean 20, sd 10, half 4.302653 · 10 / √3.
    frame = frame_of({"from_scratch": [0.1, 0.5, 0.3], "a": [0.2, 0.7, 0.6]})
    got = row(frame, "a")
    assert got["gain"] == pytest.approx(20)
    assert got["gain_half"] == pytest.approx(24.8414, abs=1e-4)
    assert np.isnan(row(frame, "from_scratch")["gain"])


@few
@given(st.lists(st.tuples(fractions, fractions), min_size=2, max_size=12))
def test_gain_and_its_interval_are_those_of_the_paired_t_test(
    frame_of: FrameOf, pairs: list[tuple[float, float]]
) -> None:
    ours, base = zip(*pairs, strict=True)
    assume(np.std(np.subtract(ours, base)) > 1e-6)
    got = row(frame_of({"from_scratch": base, "a": ours}), "a")
    test = scipy_stats.ttest_rel(ours, base)
    low, high = test.confidence_interval(0.95)
    assert got["gain"] - got["gain_half"] == pytest.approx(100 * low)
    assert got["gain"] + got["gain_half"] == pytest.approx(100 * high)
    assert got["gain_p"] == pytest.approx(test.pvalue)


@few
@given(
    st.lists(st.tuples(fractions, fractions, st.floats(-0.3, 0.3)), min_size=2, max_size=8),
    st.randoms(use_true_random=False),
)
def test_what_a_seed_does_to_all_and_the_order_of_rows_are_no_gain(
    frame_of: FrameOf, rows: list[tuple[float, float, float]], random: Any
) -> None:
    plain = frame_of({"from_scratch": [b for _, b, _ in rows], "a": [a for a, _, _ in rows]})
    lucky = frame_of(
        {"from_scratch": [b + s for _, b, s in rows], "a": [a + s for a, _, s in rows]}
    )
    order = list(range(len(lucky)))
    random.shuffle(order)
    lucky = lucky.iloc[order]
    got, expected = row(lucky, "a"), row(plain, "a")
    assert got["gain"] == pytest.approx(expected["gain"], abs=1e-9)
    assert got["gain_half"] == pytest.approx(expected["gain_half"], abs=1e-6)


def test_other_seeds_than_the_baselines_leave_no_gain(frame_of: FrameOf) -> None:
    frame = frame_of({"from_scratch": [0.1, 0.2, 0.3], "a": [0.5, 0.6, 0.7]})
    frame.loc[frame["label"] == "a", "seed"] += 1
    assert np.isnan(row(frame, "a")["gain"])


def test_the_baseline_is_what_its_strategy_says_whatever_it_is_called(frame_of: FrameOf) -> None:
    frame = frame_of({"random start": [0.1], "a": [0.5]})
    assert baseline(frame) is None
    assert summary(frame)["gain"].isna().all()
    frame.loc[frame["label"] == "random start", "baseline"] = True
    assert baseline(frame) == "random start"
    assert row(frame, "a")["gain"] == pytest.approx(40)


def test_gains_are_decided_as_pairs_of_the_suite(frame_of: FrameOf) -> None:
    """Gains are a family of their own, which shares what there is with all other pairs. Nobody
    wins, as a and c are alike."""
    scores = {
        "from_scratch": [0.50, 0.501, 0.50],
        "a": [0.70, 0.702, 0.70],
        "b": [0.35, 0.3485, 0.35],
        "c": [0.69, 0.72, 0.69],
    }
    frame = frame_of(scores)
    base = scores["from_scratch"]
    p = np.array([scipy_stats.ttest_rel(scores[label], base).pvalue for label in "abc"])
    got = {label: row(frame, label) for label in "abc"}
    part = (1 - CROSSING) / 2
    assert [got[label]["gain_p"] for label in "abc"] == pytest.approx(np.minimum(holm(p) / part, 1))
    assert [got[label]["gain_outcome"] for label in "ab"] == ["better", "worse"]
    assert row(frame, "from_scratch")["gain_outcome"] == ""


def test_means_of_as_many_right_answers_are_equal(frame_of: FrameOf) -> None:
    """51 of 60 each, in other shares: as floats their means differ in the last bit."""
    frame = frame_of({"a": [16 / 20, 19 / 20, 16 / 20], "b": [17 / 20, 18 / 20, 16 / 20]})
    assert frame.groupby("label")["accuracy"].mean().nunique() == 2
    assert summary(frame)["accuracy"].nunique() == 1


def test_a_gain_that_is_real_alone_is_unclear_among_many(frame_of: FrameOf) -> None:
    scores = {"from_scratch": [0.50, 0.50, 0.50], "a": [0.60, 0.605, 0.6]}
    others = {f"copy {n}": [0.5 + 0.01 * n, 0.5, 0.5 - 0.011 * n] for n in range(1, 40)}
    assert row(frame_of(scores), "a")["gain_outcome"] == "better"
    assert row(frame_of({**scores, **others}), "a")["gain_outcome"] == "unclear"


@pytest.mark.parametrize("values", [[0.6], [0.6, 0.6, 0.6]], ids=["one seed", "no spread"])
def test_a_gain_that_cannot_be_tested_is_neither_better_nor_worse(
    frame_of: FrameOf, values: list[float]
) -> None:
    frame = frame_of({"from_scratch": [0.5] * len(values), "a": values})
    assert row(frame, "a")["gain_outcome"] == "untested"


# ── the whole folder ──────────────────────────────────────────────────────────────────────────


def test_every_complete_group_is_numpys_mean(frame: pd.DataFrame, table: pd.DataFrame) -> None:
    complete = table[table["gap"] == ""]
    assert len(complete) == 22
    for _, group in complete.iterrows():
        cells = frame[(frame["setting"] == group["setting"]) & (frame["label"] == group["label"])]
        assert group["accuracy"] == pytest.approx(np.mean(cells["accuracy"].to_list()))
        assert group["seconds_total"] == np.median(cells["seconds_total"].to_list())


def test_order_is_the_suites_with_shots_rising(table: pd.DataFrame) -> None:
    settings = table.drop_duplicates("setting")
    assert list(settings["shots"]) == [1, 5, "all", 1, 5]
    assert list(settings["facet"]) == ["digits"] * 3 + ["omniglot · 5-way"] * 2
    assert list(table["label"][:5]) == [
        "from_scratch",
        "linear_probe",
        "partial_freeze",
        "full_finetune",
        "maml",
    ]
    assert sorted(["all", 10, 2, 1], key=shots_order) == [1, 2, 10, "all"]


def test_gaps_of_the_folder(table: pd.DataFrame) -> None:
    gaps = table[table["gap"] != ""]
    found = zip(gaps["label"], gaps["shots"], gaps["gap"], strict=True)
    assert set(found) == {
        ("maml", 1, "1 of 3 pending"),
        ("full_finetune", 5, "1 of 3 failed"),
        ("maml", "all", "3 of 3 unsupported"),
    }


def test_facets_name_what_differs(frame_of: FrameOf) -> None:
    frame = frame_of({"a": [0.5]})
    other = frame_of({"a": [0.5]}, backbone="vit")
    episodes = frame_of({"a": [0.5]}, protocol="episodes", ways=5)
    columns = ["setting", "facet", "counts"]
    joined = tidy(pd.concat([frame, other, episodes]).drop(columns=columns))
    assert list(joined["facet"]) == [
        "digits · transfer · test_resnet",
        "digits · transfer · vit",
        "digits · episodes · 5-way · test_resnet",
    ]


def test_two_cells_that_cannot_be_told_apart_are_an_error(frame_of: FrameOf) -> None:
    frame = frame_of({"a": [0.5]}).drop(columns=["setting", "facet", "counts"])
    with pytest.raises(HarnessError, match="two cells for 'a' on 'digits' with seed 0"):
        tidy(pd.concat([frame, frame]))


def test_no_cells_are_no_groups(frame_of: FrameOf) -> None:
    frame = frame_of({})
    table = summary(frame)
    assert len(table) == 0
