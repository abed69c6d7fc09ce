"""A strategy that validates below the one that it starts from is told, with both figures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from harness.record.schema import Coordinates, Record
from harness.record.store import Store
from harness.report import terminal
from harness.report.analysis.report import analyse
from harness.report.analysis.results import tidy
from harness.report.analysis.starts import Below, below_start, sentences

FrameOf = Callable[..., pd.DataFrame]
ADDED = ["setting", "facet", "counts"]
PROBE, TUNED = [0.50, 0.52, 0.54], [0.34, 0.36, 0.41]


@pytest.fixture
def validated(frame_of: FrameOf) -> FrameOf:
    """Makes the frame of one setting, by label of what validated to what; ``lp_ft`` and what is
    called after it start from a ``logistic_probe``."""

    def make(scores: dict[str, list[float | None]], **changes: Any) -> pd.DataFrame:
        frame = frame_of(scores, **changes)
        tuned = frame["label"].str.startswith("lp_ft")
        probes = frame["label"].str.startswith("logistic_probe")
        frame["strategy"] = frame["strategy"].mask(probes, "logistic_probe")
        frame["starts_from"] = frame["starts_from"].mask(tuned, "logistic_probe")
        return frame.assign(accuracy_val=frame["accuracy"])

    return make


def test_it_is_found_by_the_means_of_the_same_seeds(validated: FrameOf) -> None:
    [found] = below_start(validated({"logistic_probe": PROBE, "lp_ft": TUNED}))
    assert found == Below(
        "digits, 5 shots",
        "lp_ft",
        "logistic_probe",
        pytest.approx(0.37),
        pytest.approx(0.52),
    )
    [told] = sentences([found])
    assert told.striptags().replace("\u00a0", " ") == (
        "Below its start: lp_ft validates at 37.0 % on digits, 5 shots, and logistic_probe, which "
        "it starts from, at 52.0 %."
    )


@pytest.mark.parametrize(
    "scores",
    [
        {"logistic_probe": TUNED, "lp_ft": PROBE},
        {"logistic_probe": [0.5201, 0.52], "lp_ft": [0.52, 0.52]},  # both are shown as 52.0 %
        {"lp_ft": TUNED},
        {"logistic_probe": [0.5, None, 0.54], "lp_ft": TUNED},
        {"logistic_probe": PROBE, "lp_ft": [None, 0.36, 0.41]},
        {"logistic_probe": PROBE, "full_finetune": TUNED},
    ],
    ids=["above", "alike", "alone", "start has a gap", "has a gap", "starts from nothing"],
)
def test_nothing_is_told_where_there_is_nothing_to_tell(validated: FrameOf, scores: Any) -> None:
    assert below_start(validated(scores)) == []


def test_without_validation_accuracy_nothing_is_compared(validated: FrameOf) -> None:
    frame = validated({"logistic_probe": PROBE, "lp_ft": TUNED})
    assert below_start(frame.assign(accuracy_val=float("nan"))) == []


def test_each_setting_has_its_own_start(validated: FrameOf) -> None:
    easy = validated({"logistic_probe": PROBE, "lp_ft": TUNED}, problem="easy")
    hard = validated({"logistic_probe": TUNED, "lp_ft": PROBE}, problem="hard")
    frame = tidy(pd.concat([easy.drop(columns=ADDED), hard.drop(columns=ADDED)]))
    assert [found.setting for found in below_start(frame)] == ["easy, 5 shots"]


def test_of_several_probes_it_is_the_one_of_that_name(validated: FrameOf) -> None:
    low, scores = [0.1, 0.1, 0.1], {"logistic_probe": PROBE, "lp_ft": TUNED}
    [found] = below_start(validated({"logistic_probe with l2": low, **scores}))
    assert found.start == "logistic_probe"
    [found] = below_start(validated({"logistic_probe with l2": PROBE, "lp_ft+mixup": TUNED}))
    assert (found.label, found.start) == ("lp_ft+mixup", "logistic_probe with l2")


def test_of_many_some_are_named() -> None:
    told = sentences([Below("digits, 5 shots", f"s{n}", "probe", 0.3, 0.5) for n in range(9)])
    assert len(told) == 7
    assert told[-1].striptags() == "So do 3 more, of which harness export tells."


def test_page_and_terminal_tell_of_it(
    folder: Callable[..., Any], cell: Callable[..., Coordinates], done: Callable[..., Record]
) -> None:
    cells = [
        *(cell("logistic_probe", 5, seed) for seed in range(2)),
        *(cell("lp_ft", 5, seed, starts_from="logistic_probe") for seed in range(2)),
    ]
    records = [done(each, 0.9 if each.label == "logistic_probe" else 0.5) for each in cells]
    report = analyse(Store(folder(cells, records)))
    told = report.findings.suite[-1].striptags()
    assert told.startswith("Below its start: lp_ft validates at")
    assert terminal.results(report).count(told) == 1
