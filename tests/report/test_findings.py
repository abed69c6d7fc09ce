"""Sentences follow the tests: a winner, a gain and a harm are named only where one found them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harness.record.store import Store
from harness.report.findings import findings, overall, ranks
from harness.report.judgement import judge
from harness.report.results import baseline, summary, tidy

FrameOf = Callable[..., pd.DataFrame]
ADDED = ["setting", "facet", "counts"]
BASE = [0.500, 0.512, 0.495]


def told(frame: pd.DataFrame, folder: Path = Path("nowhere")) -> str:
    """All sentences about all settings, and of each."""
    table = summary(frame)
    judged = judge(folder, frame, table)
    sentences = [
        *overall(table, judged, baseline(frame)),
        *(one for found in findings(frame, table, judged) for one in found.sentences),
        *ranks(judged.ranking),
    ]
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
    assert "Transfer hurts in 1 of 1 gains over from_scratch: a on digits, 5 shots (−10.0" in words
    assert "Worse than from_scratch, in points: a −10.0" in words


def test_a_harm_that_may_be_luck_is_not_called_one(frame_of: FrameOf) -> None:
    words = told(frame_of({"from_scratch": BASE, "a": [0.49, 0.52, 0.45]}))
    assert "In none of 1 gains over from_scratch is transfer shown to hurt." in words
    assert "Not distinguishable from from_scratch, in points: a −1.6" in words
    assert "Worse" not in words


def test_power_is_told_with_what_more_seeds_would_bring(frame_of: FrameOf) -> None:
    words = told(frame_of({"from_scratch": BASE, "a": [0.49, 0.52, 0.45], "b": [0.5, 0.5, 0.52]}))
    assert "With 3 seeds and 3 comparisons, a difference within one setting has to exceed" in words
    assert "; with 5 seeds it would be about" in words


def test_over_all_settings_the_leader_is_told_with_whom_it_ties(frame_of: FrameOf) -> None:
    clear = [x + 0.1 + d for x, d in zip(BASE, (0, 0.002, -0.001), strict=True)]
    close = [x - 0.001 + d for x, d in zip(clear, (0.01, -0.011, 0.004), strict=True)]
    words = told(several(frame_of, 3, from_scratch=BASE, a=clear, b=close))
    assert (
        "Over all 3 settings together, a has the highest mean accuracy, but is not"
        " distinguishable from b. It is ahead of from_scratch." in words
    )


def test_too_few_problems_are_not_ranked_and_it_is_told_how_many_it_takes(
    frame_of: FrameOf,
) -> None:
    words = told(several(frame_of, 2, from_scratch=BASE, a=BASE, b=BASE))
    assert "that takes 5 problems or more, and this suite has 2." in words
    # 2.343² · 3 · 4 / 6 = 10.98 for a difference of one rank, a quarter of it for two.
    assert "whose average ranks differ by 1 takes about 11 problems; by 2, about 3." in words


@pytest.mark.parametrize(
    ("problems", "said"),
    [
        (5, "b has the best average rank, but is not distinguishable from a."),
        (12, "b has the best average rank, and is ahead of every other strategy."),
    ],
)
def test_ranks_name_a_best_only_where_the_test_does(
    frame_of: FrameOf, problems: int, said: str
) -> None:
    better, best = ([x + d for x in BASE] for d in (0.1, 0.2))
    assert said in told(several(frame_of, problems, from_scratch=BASE, a=better, b=best))


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
