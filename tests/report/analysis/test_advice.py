"""What to take: by the decisions and by cost, in one sentence, and where it is not what to take."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from harness.report.analysis.advice import advice
from harness.report.analysis.results import summary, tidy
from harness.report.analysis.tests import decide, evidence

FrameOf = Callable[..., pd.DataFrame]
ADDED = ["setting", "facet", "counts"]
LUCK = (0.010, -0.012, 0.004)


def told(frame: pd.DataFrame) -> str:
    tests = evidence(frame)
    table = summary(frame, tests.pairwise())
    found = advice(decide(Path("nowhere"), frame, table, tests), table)
    return " ".join(sentence.striptags() for sentence in found).replace("\u00a0", " ")


def problems(frame_of: FrameOf, seconds: dict[str, float], **leads: list[float]) -> pd.DataFrame:
    """A problem for each lead of each strategy over 50 %, in three seeds; luck is not shared."""
    frames = []
    for place in range(len(next(iter(leads.values())))):
        scores = {
            label: [0.5 + given[place] + luck for luck in LUCK[at % 3 :] + LUCK[: at % 3]]
            for at, (label, given) in enumerate(leads.items())
        }
        frames.append(frame_of(scores, problem=f"p{place}").drop(columns=ADDED))
    frame = pd.concat(frames)
    return tidy(frame.assign(seconds_total=frame["label"].map(seconds)))


def test_a_winner_is_to_take_whatever_it_costs(frame_of: FrameOf) -> None:
    leads = {"tuned": [0.3] * 4, "probe": [0.0] * 4}
    words = told(problems(frame_of, {"tuned": 100.0, "probe": 1.0}, **leads))
    assert words == (
        "Recommended in all 4 settings: tuned, the winner over all problems, at 1 min 40 s a run."
    )


def test_what_is_cheaper_and_not_distinguishable_is_to_take(frame_of: FrameOf) -> None:
    leads = {"tuned": [0.004] * 4, "probe": [0.0] * 4}
    words = told(problems(frame_of, {"tuned": 100.0, "probe": 20.0}, **leads))
    assert words == (
        "Recommended in all 4 settings: probe. It is 0.4 points below tuned, the highest mean,"
        " from which no test tells it apart, and takes 20 % of its time: 20 s a run instead of"
        " 1 min 40 s."
    )


def test_that_something_else_is_to_take_in_a_setting_is_told(frame_of: FrameOf) -> None:
    leads = {"tuned": [0.004, 0.004, 0.004, 0.02], "probe": [0.0] * 4}
    words = told(problems(frame_of, {"tuned": 100.0, "probe": 20.0}, **leads))
    assert words.startswith(
        "What to take depends on the setting. One for all 4, although another is recommended"
        " in 1 of them: probe. It is"
    )
    assert words.endswith("It loses most in p3, 5 shots: 2.0 points below the highest mean.")


def test_what_is_to_take_here_and_fails_there_is_warned_of(frame_of: FrameOf) -> None:
    leads = {"tuned": [-0.4, 0.3, 0.3, 0.3], "probe": [0.2, 0.0, 0.0, 0.0]}
    words = told(problems(frame_of, {"tuned": 100.0, "probe": 20.0}, **leads))
    assert words.endswith(
        "Beware: tuned, recommended in 3 settings, has less than half of the highest"
        " mean in p0, 5 shots (10.1 against 70.1 %)."
    )
    near = {"tuned": [-0.1, 0.3, 0.3, 0.3], "probe": [0.2, 0.0, 0.0, 0.0]}
    assert "half" not in told(problems(frame_of, {"tuned": 100.0, "probe": 20.0}, **near))


def test_what_is_cheaper_by_little_is_taken_nowhere(frame_of: FrameOf) -> None:
    leads = {"tuned": [0.004] * 4, "probe": [0.0] * 4}
    words = told(problems(frame_of, {"tuned": 100.0, "probe": 90.0}, **leads))
    assert words == (
        "Recommended in all 4 settings: tuned, the highest mean over all problems, at 1 min 40 s a"
        " run; it is not shown to be ahead of all others, but what no test tells apart from it"
        " takes over 80 % of its time, or is over 1 point below it."
    )


def test_one_setting_is_not_called_all(frame_of: FrameOf) -> None:
    leads = {"tuned": [0.004], "probe": [0.0]}
    words = told(problems(frame_of, {"tuned": 100.0, "probe": 20.0}, **leads))
    assert words.startswith("Recommended: probe. It is 0.4 points below tuned")


def test_one_setting_is_decided_by_its_own_tests(frame_of: FrameOf) -> None:
    """By flips of signs over problems, of which there is one, three seeds name no winner."""
    words = told(problems(frame_of, {"tuned": 100.0, "probe": 20.0}, tuned=[0.3], probe=[0.0]))
    assert words == "Recommended: tuned, the winner, at 1 min 40 s a run."
