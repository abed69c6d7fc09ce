"""Sentences follow the tests: a winner, a gain and a harm are named only where one found them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from harness.record.store import Store
from harness.report.analysis.findings import findings
from harness.report.analysis.results import baseline, summary, tidy
from harness.report.analysis.tests import decide, evidence

FrameOf = Callable[..., pd.DataFrame]
ADDED = ["setting", "facet", "counts"]
BASE = [0.500, 0.512, 0.495]


def told(frame: pd.DataFrame, folder: Path = Path("nowhere")) -> str:
    """All sentences about all settings, and of each."""
    tests = evidence(frame)
    table = summary(frame, tests.pairwise())
    decisions = decide(folder, frame, table, tests)
    found = findings(table, decisions, baseline(frame))
    settings = (sentence for setting in found.settings for sentence in setting.sentences)
    sentences = [*found.suite, *settings, *found.ranks]
    return " ".join(sentence.striptags() for sentence in sentences).replace("\u00a0", " ")


def several(frame_of: FrameOf, count: int, **scores: list[float]) -> pd.DataFrame:
    """The same scores on several problems, moved a little so that their spreads differ."""
    frames = []
    for n in range(count):
        moved = {k: [x + 0.0004 * n * s for s, x in enumerate(v)] for k, v in scores.items()}
        frames.append(frame_of(moved, problem=f"p{n}").drop(columns=ADDED))
    return tidy(pd.concat(frames))


def test_a_harm_that_is_sure_is_told_first_of_all(frame_of: FrameOf) -> None:
    worse = [x - 0.1 + d for x, d in zip(BASE, (0, 0.001, -0.001), strict=True)]
    words = told(frame_of({"from_scratch": BASE, "a": worse}))
    assert (
        "Transfer hurts in 1 of 1 comparison with from_scratch: a on digits, 5 shots (−10.0"
        in words
    )
    assert "Worse than from_scratch, in points: a −10.0" in words


def test_a_harm_that_may_be_luck_is_not_called_one(frame_of: FrameOf) -> None:
    words = told(frame_of({"from_scratch": BASE, "a": [0.49, 0.52, 0.45]}))
    assert "Transfer is shown to hurt in none of 1 comparison with from_scratch." in words
    assert "Not distinguishable from from_scratch, in points: a −1.6" in words
    assert "Worse" not in words


def test_power_is_told_with_what_more_seeds_would_bring(frame_of: FrameOf) -> None:
    words = told(frame_of({"from_scratch": BASE, "a": [0.49, 0.52, 0.45], "b": [0.5, 0.5, 0.52]}))
    assert "With 3 seeds and 1 setting, the best of a setting has to be ahead by about" in words
    assert "; with 5 seeds it would be about" in words


def test_over_all_settings_the_leader_is_told_with_whom_it_ties(frame_of: FrameOf) -> None:
    clear = [x + 0.1 + d for x, d in zip(BASE, (0, 0.002, -0.001), strict=True)]
    close = [x - 0.001 + d for x, d in zip(clear, (0.01, -0.012, 0.004), strict=True)]
    words = told(several(frame_of, 3, from_scratch=BASE, a=clear, b=close))
    assert (
        "Over all 3 settings together, a has the highest mean accuracy, but is not"
        " distinguishable from b. It is ahead of from_scratch." in words
    )


def test_a_pair_that_only_its_own_test_tells_apart_is_told_from_one_that_nothing_does(
    frame_of: FrameOf,
) -> None:
    """Of as few seeds little is decided, which must not be read as if all else were alike."""
    far = [x - 0.3 + d for x, d in zip(BASE, (0.01, -0.012, 0.004), strict=True)]
    near = [x - 0.002 + d for x, d in zip(BASE, (0.01, -0.012, 0.004), strict=True)]
    middle = [x - 0.05 + d for x, d in zip(BASE, (0.02, -0.018, 0.004), strict=True)]
    words = told(frame_of({"best": BASE, "near": near, "middle": middle, "far": far}))
    assert "but is not distinguishable from near" in words
    assert (
        "It is ahead of far (20.3 ± 1.5 %). By a test of that pair alone, not after"
        " correction for all tests, it is ahead of middle (45.4 ± 3.4 %)." in words
    )


def test_gains_that_only_their_own_test_shows_are_probable(frame_of: FrameOf) -> None:
    """Five points up and down have p < .05 each; with all tests of a page none is shown."""
    shapes = {
        "up": [x + 0.05 + d for x, d in zip(BASE, (0.02, -0.018, 0.004), strict=True)],
        "down": [x - 0.05 + d for x, d in zip(BASE, (0.02, -0.018, 0.004), strict=True)],
        "same": [x + d for x, d in zip(BASE, (0.01, -0.012, 0.004), strict=True)],
    }
    words = told(frame_of({"from_scratch": BASE, **shapes}))
    assert "Probably a gain over from_scratch, by a test of each pair alone, in points: up" in words
    assert (
        "Probably worse than from_scratch, by a test of each pair alone, in points: down" in words
    )
    assert "Not distinguishable from from_scratch, in points: same" in words


def test_too_few_problems_are_not_ranked(frame_of: FrameOf) -> None:
    words = told(several(frame_of, 2, from_scratch=BASE, a=BASE, b=BASE))
    assert "Average ranks are for 5 problems or more, and this suite has 2." in words


def test_ranks_describe_and_the_tests_decide(frame_of: FrameOf) -> None:
    """Two neighbours by their ranks are told apart over all problems."""
    better, best = ([x + d for x in BASE] for d in (0.1, 0.2))
    best = [x + d for x, d in zip(best, (0.001, -0.001, 0.002), strict=True)]
    better = [x + d for x, d in zip(better, (-0.002, 0.001, 0.001), strict=True)]
    words = told(several(frame_of, 5, from_scratch=BASE, a=better, b=best))
    assert "b has the highest mean accuracy, and is ahead of every other strategy." in words
    assert "b has the best average rank, 1.00." in words
    assert "distinguishable" not in words.partition("b has the best average rank")[2]


def test_equal_means_share_the_first_place(frame_of: FrameOf) -> None:
    """Permutations of the same seeds, whose means differ in their last bit."""
    scores = {"a": [0.7, 0.8, 0.9], "b": [0.9, 0.7, 0.8], "c": [0.3, 0.5, 0.2]}
    words = told(several(frame_of, 5, **scores))
    # The seeds are moved alike on each problem, so the means over all problems are no ties.
    assert "No winner: a and b share the highest mean, 80.0 %, but a is not" in words
    exact = tidy(
        pd.concat([frame_of(scores, problem=f"p{n}").drop(columns=ADDED) for n in range(5)])
    )
    words = told(exact)
    assert "Over all 5 settings together, a and b share the highest mean accuracy" in words
    assert "a and b share the best average rank, 1.50." in words


def test_who_is_not_distinguishable_is_never_counted_as_best(frame_of: FrameOf) -> None:
    """Four settings without a winner: a large spread must not make c look good."""
    clear = [x + 0.1 + d for x, d in zip(BASE, (0, 0.002, -0.001), strict=True)]
    wild = [0.1, 0.9, 0.2]
    words = told(several(frame_of, 4, from_scratch=BASE, a=clear, c=wild))
    assert "the best, or not distinguishable from the best" not in words
    assert "Of 4 single settings, none has a winner that is ahead of all others." in words


def test_what_was_not_tested_is_told_apart_from_what_was_not_found(frame_of: FrameOf) -> None:
    scores = {"a": [0.90, 0.91, 0.92], "b": [0.80, 0.93, 0.81], "c": [0.5, 0.51, 0.52]}
    words = told(frame_of(scores))
    assert "a has the highest mean, 91.0 ± 2.5 %, but is not distinguishable from b" in words
    assert "Not tested against a: c (51.0 ± 2.5 %)." in words


def test_one_seed_has_no_winner_but_its_models_are_compared(
    frame_of: FrameOf, tmp_path: Path
) -> None:
    frame = frame_of({"from_scratch": [0.5], "a": [0.9]})
    store, labels = Store(tmp_path), np.zeros(100, dtype=np.int64)
    for cell, right in zip(frame["cell"], (50, 90), strict=True):
        logits = np.where(np.arange(100)[:, None] < right, [1.0, 0.0], [0.0, 1.0])
        arrays = {"logits": logits, "labels": labels, "ids": np.arange(100)}
        store.write_predictions(cell, arrays)
    words = told(frame, tmp_path)
    assert "no winner is named. The two trained models differ: a minus from_scratch is" in words
    assert "over 100 test examples (95 % interval; McNemar's exact test, p < 0.001)." in words
    assert "not of the strategies under other seeds" in words
    assert "Difference from from_scratch in points, untested: a +40.0." in words
    assert "trained models" not in told(frame, tmp_path / "elsewhere")
