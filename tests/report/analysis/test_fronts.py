"""A strategy is on the front if no other is as accurate for less, or more accurate for as much."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from harness.report.analysis.fronts import by_seconds, on_front
from harness.report.analysis.results import summary

FrameOf = Callable[..., pd.DataFrame]

POINTS = {  # accuracy and seconds
    "cheap": (0.5, 1.0),
    "twin": (0.5, 1.0),
    "dear": (0.5, 2.0),
    "good": (0.8, 3.0),
    "worse": (0.7, 4.0),
    "best": (0.9, 9.0),
    "bound": (0.99, 1.0),
}


def test_the_front_holds_who_is_beaten_by_none(frame_of: FrameOf) -> None:
    frame = frame_of({label: [accuracy] for label, (accuracy, _) in POINTS.items()})
    frame["seconds_total"] = [seconds for _, seconds in POINTS.values()]
    frame.loc[frame["label"] == "bound", "oracle"] = "labels"
    table = summary(frame)
    found = table["label"][by_seconds(table).members]
    ranked = {label: at for label, at in POINTS.items() if label != "bound"}
    expected = [
        label
        for label, (accuracy, seconds) in ranked.items()
        if not any(
            a >= accuracy and s <= seconds and (a, s) != (accuracy, seconds)
            for a, s in ranked.values()
        )
    ]
    assert list(found) == expected == ["cheap", "twin", "good", "best"]


def test_twins_on_the_front_are_known_in_spite_of_rounding(frame_of: FrameOf) -> None:
    shares = {"a": [16 / 20, 19 / 20, 16 / 20], "b": [17 / 20, 18 / 20, 16 / 20]}
    table = summary(frame_of(shares))
    assert on_front(table.assign(x=1.0)).all()
