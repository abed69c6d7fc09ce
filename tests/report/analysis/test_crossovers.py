"""How the order changes with the number of examples: told with intervals, and no more than tests
show."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from harness.report.analysis.crossovers import crossovers
from harness.report.analysis.results import summary, tidy
from harness.report.analysis.tests import decide, evidence

FrameOf = Callable[..., pd.DataFrame]
ADDED = ["setting", "facet", "counts"]
LUCK = (0.010, -0.012, 0.004)
DRAWS = (0.001, -0.002, 0.001)


def frame(frame_of: FrameOf, leads: dict[object, float], problems: int = 1) -> pd.DataFrame:
    """Two strategies and a baseline far behind, by shots: ``tuned`` leads ``probe`` by so much."""
    frames = []
    for shots, lead in leads.items():
        probe = [0.6 + luck for luck in LUCK]
        tuned = [0.6 + lead + luck + draw for luck, draw in zip(LUCK, DRAWS, strict=True)]
        base = [0.2 + luck for luck in reversed(LUCK)]
        scores = {"from_scratch": base, "probe": probe, "tuned": tuned}
        frames += [
            frame_of(scores, shots=shots, problem=f"p{n}").drop(columns=ADDED)
            for n in range(problems)
        ]
    return tidy(pd.concat(frames))


def told(frame: pd.DataFrame) -> list[str]:
    tests = evidence(frame)
    table = summary(frame, tests.pairwise())
    found = crossovers(table, decide(Path("nowhere"), frame, table, tests))
    return [sentence.striptags().replace("\u00a0", " ") for sentence in found]


def test_where_two_change_places_is_told_with_every_difference(frame_of: FrameOf) -> None:
    (words,) = told(frame(frame_of, {1: -0.05, 5: 0.0502, "all": 0.2}))
    assert words.startswith(
        "On p0 the order changes with the number of examples: tuned minus probe is, in points, −5.0"
    )
    assert "± " in words
    assert " with 1 shot, +5.0 " in words
    assert " with 5 shots and +20.0 " in words
    assert " with all data. They change places between 1 shot and 5 shots." in words


def test_who_is_ahead_is_said_only_where_tests_show_it(frame_of: FrameOf) -> None:
    sure = {1: -0.3, 5: 0.001, 20: 0.3}
    (words,) = told(frame(frame_of, sure, problems=1))
    assert "probe is shown to be ahead with 1 shot." in words
    assert "tuned is shown to be ahead with 20 shots." in words
    (doubtful,) = told(frame(frame_of, {1: -0.0005, 5: 0.0005, 20: 0.001}))
    assert "shown to be ahead" not in doubtful


def test_that_nothing_changes_is_told_too(frame_of: FrameOf) -> None:
    (words,) = told(frame(frame_of, {1: 0.05, 5: 0.05, 20: 0.2}))
    assert words == "On p0, tuned has the highest mean with any number of examples."


def test_two_numbers_of_shots_are_left_to_the_table(frame_of: FrameOf) -> None:
    assert told(frame(frame_of, {1: -0.05, 5: 0.2})) == []


def test_of_many_problems_some_are_told(frame_of: FrameOf) -> None:
    assert len(told(frame(frame_of, {1: 0.05, 5: 0.05, 20: 0.2}, problems=6))) == 4


def test_of_a_single_seed_nothing_is_said(frame_of: FrameOf) -> None:
    whole = frame(frame_of, {1: -0.05, 5: 0.05, 20: 0.2})
    assert told(tidy(whole[whole["seed"] == 0].drop(columns=ADDED))) == []
