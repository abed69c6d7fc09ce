"""Numbers, names and statuses are formatted for readers."""

from typing import get_args

import pytest

from harness.record.reading import InvalidFile, Stale
from harness.record.schema import Status
from harness.record.store import PENDING
from harness.report import format
from harness.shots import shots_text


def test_whatever_becomes_of_a_cell_has_words() -> None:
    assert set(format.STATES) == {*get_args(Status), InvalidFile.status, Stale.status, PENDING}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0123, "12 ms"),
        (0.9999, "1 s"),
        (4.52, "4.5 s"),
        (59.6, "1 min"),
        (200, "3 min 20 s"),
        (7500, "2 h 5 min"),
        (float("nan"), "–"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert format.duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0"), (0.00806, "0.008"), (0.2104, "0.210"), (3.1415, "3.14"), (1234.5, "1,234")],
)
def test_seconds_of_a_column(seconds: float, text: str) -> None:
    assert format.seconds(seconds) == text


@pytest.mark.parametrize(
    ("amount", "text"),
    [(12, "12 B"), (1500, "1.5 kB"), (527e6, "527 MB"), (1.35e9, "1.35 GB"), (2e9, "2 GB")],
)
def test_sizes(amount: float, text: str) -> None:
    assert format.size(amount) == text


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (0.0004, "p < 0.001"),
        (0.0123, "p = 0.012"),
        (0.04996, "p < 0.05"),
        (0.0502, "p = 0.050"),
        (0.256, "p = 0.26"),
        (1.0, "p = 1.00"),
    ],
)
def test_p_values_never_cross_their_threshold_by_rounding(p: float, text: str) -> None:
    assert format.p_text(p) == text
    assert format.p_number(float("nan")) == format.GAP


def test_a_setting_is_its_facet_and_shots() -> None:
    assert format.setting_text("digits · resnet", "all") == "digits · resnet, all data"


def test_numbers_in_words() -> None:
    assert [format.significant(n) for n in (0, 0.04686, 4.5678, 12345.6)] == [
        "0",
        "0.0469",
        "4.57",
        "12,346",
    ]
    assert [format.signed(n) for n in (2.34, -2.34, 0.04, -0.04)] == ["+2.3", "−2.3", "0.0", "0.0"]
    assert format.plus_minus(0.9214, float("nan")) == "92.1"
    assert [shots_text(shots) for shots in (1, 5, "all")] == [
        "1 shot",
        "5 shots",
        "all data",
    ]
