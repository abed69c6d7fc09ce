"""Published claims come out as the report's own tests have it."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pytest

from harness.report.analysis.claims import claims, summed_up
from harness.report.analysis.tests import evidence

FrameOf = Callable[..., pd.DataFrame]

APART = {
    "LP": [0.50, 0.51, 0.52, 0.505, 0.515],
    "FT": [0.70, 0.712, 0.72, 0.706, 0.716],
    "noisy": [0.40, 0.60, 0.50, 0.45, 0.55],
}


def claim(left: str, sign: str, right: str, **where: object) -> dict[str, object]:
    return {"left": left, "sign": sign, "right": right, "where": where, "source": "somebody"}


def verdicts(frame: pd.DataFrame, *made: dict[str, object]) -> list[str]:
    return list(claims({"claims": list(made)}, frame, evidence(frame).pairwise())["verdict"])


@pytest.mark.parametrize(
    ("made", "verdict"),
    [
        (claim("FT", ">", "LP"), "agrees"),
        (claim("LP", "<", "FT"), "agrees"),
        (claim("LP", ">", "FT"), "disagrees"),
        (claim("FT", "<", "LP"), "disagrees"),
        (claim("noisy", ">", "LP"), "undecided"),
        (claim("noisy", "<", "LP"), "undecided"),
    ],
)
def test_a_claim_agrees_where_the_test_finds_its_sign(
    frame_of: FrameOf, made: dict[str, object], verdict: str
) -> None:
    assert verdicts(frame_of(APART), made) == [verdict]


def test_what_can_not_be_compared_is_undecided(frame_of: FrameOf) -> None:
    assert verdicts(frame_of({**APART, "FT": [0.7, None]}), claim("FT", ">", "LP")) == ["undecided"]
    assert verdicts(frame_of({"FT": [0.7], "LP": [0.5]}), claim("FT", ">", "LP")) == ["undecided"]


def test_a_claim_has_a_row_for_each_setting_that_it_speaks_of(frame_of: FrameOf) -> None:
    frame = pd.concat([frame_of(APART, shots=1), frame_of(APART, shots=5)])
    frame["setting"] = frame["shots"].map({1: 0, 5: 1})
    config = {"claims": [claim("FT", ">", "LP"), claim("LP", "<", "FT", shots=5)]}
    found = claims(config, frame, evidence(frame).pairwise())
    assert list(found["shots"]) == [1, 5, 5]
    assert list(found["sign"]) == [">", ">", "<"]
    assert found["difference"].tolist() == pytest.approx([0.2008, 0.2008, -0.2008])


def test_a_claim_is_on_the_problems_own_test_unless_it_names_another(frame_of: FrameOf) -> None:
    upside_down = {"LP": APART["FT"], "FT": APART["LP"]}
    frame = pd.concat([frame_of(APART), frame_of(upside_down, test="bent")])
    frame["setting"] = frame["test"].map({"": 0, "bent": 1})
    made = claim("FT", ">", "LP"), claim("FT", ">", "LP", test="bent")
    assert verdicts(frame, *made) == ["agrees", "disagrees"]


def test_a_suite_without_claims_has_none(frame_of: FrameOf) -> None:
    frame = frame_of(APART)
    assert len(claims({}, frame, evidence(frame).pairwise())) == 0


def test_they_are_counted_in_a_sentence(frame_of: FrameOf) -> None:
    frame = frame_of(APART)
    made = [claim("FT", ">", "LP"), claim("LP", "<", "FT"), claim("noisy", ">", "LP")]
    found = claims({"claims": made}, frame, evidence(frame).pairwise())
    assert summed_up(found) == "Published claims, each in its settings: 2 agree, 1 undecided."
