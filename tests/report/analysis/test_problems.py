"""Families of tests over the tidy frame: what is compared, corrected, ranked and named a winner."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats as scipy_stats

from harness.report.analysis import problems, stats
from harness.report.analysis.design import CROSSING, PAIRS
from harness.report.analysis.pairwise import paired_differences
from harness.report.analysis.problems import OverProblems, Ranking, told_apart
from harness.report.analysis.results import baseline, strategies, summary, tidy
from harness.report.analysis.tests import decide, evidence
from harness.report.analysis.winners import Standing, lead_needed
from harness.report.plots.diagram import average_ranks, cliques, describe
from harness.report.plots.style import looks

FrameOf = Callable[..., pd.DataFrame]
ADDED = ["setting", "facet", "counts"]


def pairwise(frame: pd.DataFrame) -> pd.DataFrame:
    return evidence(frame).pairwise()


def ranking(frame: pd.DataFrame) -> Ranking:
    return evidence(frame).ranking


def standings_of(frame: pd.DataFrame) -> list[Standing]:
    found = evidence(frame)
    return decide(Path("nowhere"), frame, summary(frame, found.pairwise()), found).standings


def every_two(frame: pd.DataFrame) -> list[OverProblems]:
    return evidence(frame).over


def against_baseline(frame: pd.DataFrame) -> list[OverProblems]:
    return problems.against_baseline(every_two(frame), baseline(frame))


def leader_against_rest(frame: pd.DataFrame) -> list[OverProblems]:
    return problems.leader_against_rest(every_two(frame), ranking(frame))


def joined(*frames: pd.DataFrame) -> pd.DataFrame:
    return tidy(pd.concat([frame.drop(columns=ADDED) for frame in frames]))


def suite_of(frame_of: FrameOf, scores: np.ndarray, **changes: Any) -> pd.DataFrame:
    """The tidy frame of ``scores`` [problems, strategies, seeds]."""
    labels = ["from_scratch", *"abcdefgh"][: scores.shape[1]]
    return joined(
        *(
            frame_of(dict(zip(labels, rows.tolist(), strict=True)), problem=f"p{n}", **changes)
            for n, rows in enumerate(scores)
        )
    )


# ── every two in every setting ────────────────────────────────────────────────────────────────


def test_a_pair_is_the_paired_t_test_of_scipy(frame_of: FrameOf) -> None:
    a, b = [0.5, 0.7, 0.6, 0.9], [0.4, 0.5, 0.55, 0.7]
    (found,) = paired_differences(frame_of({"a": a, "b": b})).to_dict("records")
    expected = scipy_stats.ttest_rel(a, b)
    assert (found["left"], found["right"], found["n"]) == ("a", "b", 4)
    assert found["difference"] == pytest.approx(np.mean(np.subtract(a, b)))
    assert found["p"] == pytest.approx(expected.pvalue)
    low, high = expected.confidence_interval()
    assert found["half"] == pytest.approx((high - low) / 2)


def test_pairs_against_one_are_those_of_all_pairs(frame_of: FrameOf) -> None:
    draw = np.random.default_rng(0)
    frame = suite_of(frame_of, draw.random((3, 4, 3)))
    every, against = paired_differences(frame), paired_differences(frame, against="b")
    assert len(every) == 3 * 6
    assert len(against) == 3 * 3
    swapped = every.rename(columns={"left": "right", "right": "left"})
    both = against.merge(swapped, on=["setting", "left", "right"])
    turned = against.merge(every, on=["setting", "left", "right"])
    assert len(both) + len(turned) == len(against)
    assert both["difference_x"].to_numpy() == pytest.approx(-both["difference_y"].to_numpy())
    assert turned["p_x"].to_numpy() == pytest.approx(turned["p_y"].to_numpy())


def test_other_seeds_are_no_pair(frame_of: FrameOf) -> None:
    frame = frame_of({"a": [0.1, 0.2], "b": [0.1, 0.2], "c": [0.3, None], "d": [0.2, 0.4]})
    frame.loc[frame["label"] == "b", "seed"] += 1
    found = paired_differences(frame)
    assert list(zip(found["left"], found["right"], strict=True)) == [("a", "d")]


def test_those_told_apart_over_all_problems_are_one_family_in_settings(frame_of: FrameOf) -> None:
    draw = np.random.default_rng(0)
    scores = draw.normal(0.5, 0.01, (2, 3, 4)) + np.array([0, 0.05, 0.05])[:, None]
    frame = suite_of(frame_of, scores)
    found = pairwise(frame)
    by_hand = [
        scipy_stats.ttest_rel(rows[i], rows[j]).pvalue
        for rows in scores
        for i, j in ((0, 1), (0, 2), (1, 2))
    ]
    assert found["p"].to_numpy() == pytest.approx(by_hand)
    told = {(row.left, row.right): row.outcome for row in every_two(frame)}
    apart = {two for two, outcome in told.items() if outcome in ("better", "worse")}
    assert 0 < len(apart) < 3
    differ = pd.Series([(row.left, row.right) in apart for row in found.itertuples()])
    for family, part in ((differ, (1 - CROSSING) / 2), (~differ, CROSSING)):  # gains are the former
        corrected = np.minimum(stats.holm(found["p"][family]) / part, 1)
        assert list(found["p_holm"][family]) == pytest.approx(list(corrected))
    said = found["outcome"].isin(["better", "worse"])
    assert (said == (found["p_holm"] < PAIRS)).all()


def test_a_bound_is_in_no_duel(frame_of: FrameOf) -> None:
    frame = frame_of({"a": [0.5, 0.6], "b": [0.5, 0.7], "bound": [0.9, 0.91]})
    frame.loc[frame["label"] == "bound", "oracle"] = "labels"
    found = pairwise(frame)
    assert list(zip(found["left"], found["right"], strict=True)) == [("a", "b")]


def test_the_lead_that_a_winner_needs_shrinks_with_seeds(frame_of: FrameOf) -> None:
    """Student's t of three seeds, and Holm's first step over four settings."""
    frame = suite_of(frame_of, np.random.default_rng(0).normal(0.5, 0.01, (4, 3, 3)))
    found = evidence(frame).pairs
    now = lead_needed(found.moderation, found.paired.n, 3)
    sd = 100 * np.median(found.paired.sd)
    assert now == pytest.approx(sd * scipy_stats.t.ppf(1 - 0.02 / 2 / 4, 2) / 3**0.5)
    assert lead_needed(found.moderation, found.paired.n, 10) < now / 3
    single = evidence(frame[frame["seed"] == 0]).pairs
    assert math.isnan(lead_needed(single.moderation, single.paired.n, 5))


# ── who is ahead in a setting ─────────────────────────────────────────────────────────────────


def test_a_winner_needs_a_test_that_tells_it_apart(frame_of: FrameOf) -> None:
    (clear,) = standings_of(frame_of({"a": [0.90, 0.91, 0.92], "b": [0.80, 0.82, 0.81]}))
    assert (clear.winner, clear.ranking, clear.tied) == ("a", ("a", "b"), ())
    assert clear.points == pytest.approx(10)
    assert clear.half == pytest.approx(4.302653 * 1 / 3**0.5)
    (close,) = standings_of(frame_of({"a": [0.90, 0.80, 0.91], "b": [0.80, 0.82, 0.81]}))
    assert (close.winner, close.ranking, close.tied) == (None, ("a", "b"), ("b",))


def test_a_winner_by_itself_is_none_among_many_settings(frame_of: FrameOf) -> None:
    clear = np.array([[0.80, 0.82, 0.81], [0.90, 0.91, 0.92]])
    noise = np.random.default_rng(0).normal(0.5, 0.02, (20, 2, 3))
    (alone,) = standings_of(suite_of(frame_of, clear[None]))
    among, *_ = standings_of(suite_of(frame_of, np.concatenate([clear[None], noise])))
    assert (alone.winner, among.winner) == ("a", None)


def test_a_winner_is_ahead_of_all_and_not_of_the_next_alone(frame_of: FrameOf) -> None:
    scores = {"a": [0.90, 0.901, 0.902], "b": [0.85, 0.852, 0.851], "c": [0.95, 0.6, 0.9]}
    (standing,) = standings_of(frame_of(scores))
    assert standing.ranking == ("a", "b", "c")
    assert (standing.tied, standing.winner) == (("c",), None)


@pytest.mark.parametrize("scores", [{"a": [0.9], "b": [0.1]}, {"a": [0.9, 0.9], "b": [0.1, 0.1]}])
def test_one_seed_or_no_spread_has_no_winner(frame_of: FrameOf, scores: Any) -> None:
    (standing,) = standings_of(frame_of(scores))
    assert (standing.ranking, standing.winner) == (("a", "b"), None)


def test_what_could_not_be_tested_is_not_called_indistinguishable(frame_of: FrameOf) -> None:
    scores = {"a": [0.90, 0.91, 0.92], "b": [0.80, 0.82, 0.81], "c": [0.5, 0.51, 0.52]}
    (standing,) = standings_of(frame_of(scores))
    assert (standing.winner, standing.tied, standing.untested) == (None, (), ("c",))
    assert [standing.outcome(label) for label in "bc"] == ["better", "untested"]


def test_of_one_pair_one_thing_is_said(frame_of: FrameOf) -> None:
    """A gain over the baseline is one of the pairwise that decide who wins, of one family."""
    draw = np.random.default_rng(2)
    scores = draw.normal(0.5, 0.02, (8, 4, 5)) + np.array([0, 0.02, 0.04, 0.2])[:, None]
    frame = suite_of(frame_of, scores)
    table = summary(frame, pairwise(frame))
    found = {standing.setting: standing for standing in standings_of(frame)}
    led = 0
    for group in table.to_dict("records"):
        standing = found[group["setting"]]
        if group["label"] == standing.ranking[0] and group["label"] != "from_scratch":
            assert group["gain_outcome"] == standing.outcome("from_scratch")
            led += group["gain_outcome"] == "better"
    assert led  # not all unclear
    leading = {(row.left, row.right): row for row in leader_against_rest(frame)}
    for gain in against_baseline(frame):
        if (row := leading.get((gain.left, gain.right))) is not None:
            assert row == gain


def test_what_is_missing_is_not_ranked(frame_of: FrameOf) -> None:
    (standing,) = standings_of(frame_of({"a": [0.9, None], "b": [0.1, 0.2], "c": [None, None]}))
    assert standing.ranking == ("b",)
    assert standing.missing == (("a", "1 of 2 failed"), ("c", "2 of 2 failed"))
    assert standing.winner is None


def test_two_copies_of_one_strategy_are_rarely_told_apart(frame_of: FrameOf) -> None:
    """The whole way from the tidy frame to a standing, on 400 suites."""
    draw = np.random.default_rng(0)
    base = suite_of(frame_of, np.zeros((3, 2, 3)))
    wins = 0
    for _ in range(400):
        own = draw.normal(0.8, 0.02, (3, 1, 3)) + draw.normal(0, 0.01, (3, 2, 3))
        frame = base.assign(accuracy=(draw.binomial(2000, own) / 2000).ravel())
        wins += (pairwise(frame)["p_holm"] < stats.ALPHA).any()
    print(f"null suites in which one of two copies wins: {wins / 400:.4f} of 400")
    assert wins / 400 <= 0.05


# ── over all problems ─────────────────────────────────────────────────────────────────────────


def test_every_problem_counts_alike_and_its_settings_are_one_block(frame_of: FrameOf) -> None:
    """p0 has two settings whose differences are 10 ± and 30 ±, p1 one of 40: the mean is 30."""
    base = [0.1, 0.2, 0.3]
    one = frame_of({"from_scratch": base, "a": [0.2, 0.31, 0.39]}, problem="p0", shots=1)
    two = frame_of({"from_scratch": base, "a": [0.4, 0.51, 0.59]}, problem="p0", shots=5)
    other = frame_of({"from_scratch": base, "a": [0.5, 0.61, 0.69]}, problem="p1")
    (found,) = against_baseline(joined(one, two, other))
    assert found.points == pytest.approx(30)
    assert (found.settings, found.problems, found.test) == (3, 2, "t")
    blocks = [np.array([20.0, 21, 19]), np.array([40.0, 41, 39])]
    assert found.half == pytest.approx(stats.stratified(blocks).half)
    assert found.p == pytest.approx(stats.stratified(blocks).p)
    # Of nine pairs of runs 0.2 loses one and ties one, in one of two settings of one problem.
    assert found.probability == pytest.approx(((7.5 / 9 + 1) / 2 + 1) / 2)
    assert np.isnan(found.low)


def test_eight_blocks_have_the_permutation_test(frame_of: FrameOf) -> None:
    draw = np.random.default_rng(0)
    scores = draw.normal(0.5, 0.01, (2, 2, 4)) + np.array([0, 0.1])[:, None]
    (found,) = against_baseline(suite_of(frame_of, scores))
    assert (found.test, found.outcome) == ("permutation", "better")
    assert found.p == 2 / 2**8  # both ways in which all of the eight signs agree
    assert ranking(suite_of(frame_of, scores)).winner == "a"


def test_few_blocks_have_the_t_test(frame_of: FrameOf) -> None:
    scores = np.array([[[0.1, 0.2, 0.3], [0.2, 0.31, 0.39]]])
    (found,) = against_baseline(suite_of(frame_of, scores))
    expected = scipy_stats.ttest_rel(scores[0, 1], scores[0, 0])
    assert (found.test, found.outcome) == ("t", "better")
    assert found.p == pytest.approx(expected.pvalue)


def test_a_single_seed_of_a_single_problem_is_not_tested(frame_of: FrameOf) -> None:
    (found,) = against_baseline(suite_of(frame_of, np.array([[[0.1], [0.2]]])))
    assert (found.test, found.outcome, found.points) == ("none", "untested", pytest.approx(10))


def test_a_setting_that_one_has_not_is_left_out_for_both(frame_of: FrameOf) -> None:
    whole = frame_of({"from_scratch": [0.1, 0.2], "a": [0.3, 0.4]}, problem="p0")
    gap = frame_of({"from_scratch": [0.1, 0.2], "a": [0.9, None]}, problem="p1")
    (found,) = against_baseline(joined(whole, gap))
    assert (found.settings, found.problems, found.points) == (1, 1, pytest.approx(20))
    assert leader_against_rest(joined(whole, gap)) == []


def test_a_winner_over_all_problems_leaves_the_rest_what_it_had(frame_of: FrameOf) -> None:
    """The three pairs of the winner have its p; the three others are a family at .02."""
    draw = np.random.default_rng(0)
    scores = draw.normal(0.5, 0.01, (2, 4, 3)) + np.array([0, 0.01, 0.1, 0.02])[:, None]
    frame = suite_of(frame_of, scores)
    leading, found = leader_against_rest(frame), every_two(frame)
    assert {row.left for row in leading} == {"b"}
    highest = max(row.p for row in leading)
    assert [row.p_holm for row in leading] == [highest] * 3
    assert [row.outcome for row in leading] == ["better"] * 3
    rest = [row for row in found if "b" not in (row.left, row.right)]
    assert len(found) == 6
    assert [row.p_holm for row in rest] == pytest.approx(stats.holm([row.p for row in rest]))
    (turned,) = (row.turned() for row in found if (row.left, row.right) == ("from_scratch", "b"))
    assert (turned.left, turned.outcome) == ("b", "better")
    assert turned.probability == pytest.approx(1)


def test_without_a_winner_every_two_are_one_family_over_all_problems(frame_of: FrameOf) -> None:
    draw = np.random.default_rng(0)
    scores = draw.normal(0.5, 0.01, (2, 4, 3)) + np.array([0, 0.1, 0.1, 0.02])[:, None]
    frame = suite_of(frame_of, scores)
    found = every_two(frame)
    assert ranking(frame).winner is None
    assert [row.p_holm for row in found] == pytest.approx(stats.holm([row.p for row in found]))
    assert [row.outcome for row in found] == [
        stats.outcome(row.points, row.p_holm, 0.01) for row in found
    ]


def test_equal_means_lead_by_the_suites_order(frame_of: FrameOf) -> None:
    """Each has the same accuracies over problems and seeds, in another order."""
    values = np.array([[0.7, 0.8, 0.9], [0.9, 0.7, 0.8], [0.8, 0.9, 0.7]])
    found = ranking(suite_of(frame_of, np.tile(values, (5, 1, 1))))
    assert (found.leader, len({*found.means})) == ("from_scratch", 1)
    assert found.ranks is not None
    assert list(found.ranks) == [2, 2, 2]


def test_problems_in_general_need_several(frame_of: FrameOf) -> None:
    draw = np.random.default_rng(0)
    least = stats.PROBLEMS_IN_GENERAL
    gain = draw.normal(0.1, 0.05, (least, 1, 1))
    scores = draw.normal(0.5, 0.01, (least, 2, 3)) + np.concatenate([0 * gain, gain], axis=1)
    (few,) = against_baseline(suite_of(frame_of, scores[:-1]))
    (enough,) = against_baseline(suite_of(frame_of, scores))
    assert np.isnan(few.low)
    assert enough.low < enough.points < enough.high
    # It counts the problems' own spread, which the interval for these problems does not.
    assert enough.high - enough.low > 3 * enough.half


# ── ranks ─────────────────────────────────────────────────────────────────────────────────────


def test_ranks_are_over_problems_and_not_over_settings(frame_of: FrameOf) -> None:
    scores = {"from_scratch": [0.1, 0.2], "a": [0.3, 0.4], "b": [0.2, 0.3]}
    settings = [
        frame_of(scores, problem=f"p{n}", shots=shots) for n in range(4) for shots in (1, 5, 10)
    ]
    found = ranking(joined(*settings))
    assert (found.problems, found.ranks) == (4, None)


def test_only_what_is_complete_everywhere_is_ranked(frame_of: FrameOf) -> None:
    draw = np.random.default_rng(0)
    scores = draw.random((6, 5, 2)) / 10 + np.arange(5)[:, None] / 5
    frame = suite_of(frame_of, scores)
    frame.loc[(frame["label"] == "a") & (frame["problem"] == "p2"), ["status", "counts"]] = (
        "failed",
        False,
    )
    frame.loc[frame["label"] == "d", "oracle"] = "labels"
    found = ranking(frame)
    assert (found.labels, found.left_out) == (["from_scratch", "b", "c"], ["a"])
    assert found.ranks is not None
    assert list(found.ranks) == [3, 2, 1]
    apart = told_apart(every_two(frame), found.labels)
    figure = average_ranks(found, apart, looks(strategies(frame)))
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == [
        "c",
        "b",
        "from_scratch",
    ]
    words = describe(found, apart)
    assert words.startswith("Average ranks. c: 1.00; b: 2.00; from_scratch: 3.00.")
    assert words.endswith("Every two are told apart.")


def test_lines_join_what_the_tests_over_all_problems_do_not_tell_apart(frame_of: FrameOf) -> None:
    """Ranks have no test of their own."""
    draw = np.random.default_rng(3)
    own = np.array([0.1, 0.2, 0.3, 0.3])[:, None] + draw.normal(0, 0.005, (5, 4, 3))
    frame = suite_of(frame_of, own)
    found, apart = ranking(frame), told_apart(every_two(frame), ["from_scratch", "a", "b", "c"])
    assert found.ranks is not None
    assert apart[1, 2]
    assert cliques(apart) == [[2, 3]]
    assert "Not told apart: " in describe(found, apart)


def test_every_two_that_are_not_apart_are_in_a_clique_and_no_others() -> None:
    draw = np.random.default_rng(0)
    for k in range(1, 9):
        apart = np.triu(draw.random((k, k)) < 0.5, 1)
        apart |= apart.T
        found = cliques(apart)
        together = np.eye(k, dtype=bool)
        for group in found:
            together[np.ix_(group, group)] = True
        assert (together == ~apart).all()
        assert not any({*one} < {*other} for one in found for other in found)
