"""Kept errors are read, or nothing is; private inputs are never read."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.record.schema import Plan
from harness.record.store import Store
from harness.report.analysis.misclassified import may_show, read

ERROR = {"id": 4, "true": "ant", "taken": "bee", "confidence": 0.93}
SHOWN = {**ERROR, "image": "image/png;base64,AAAA", "name": "bee/4.png"}


def test_what_was_kept_is_read(tmp_path: Path) -> None:
    Store(tmp_path).write_misclassified("c", [SHOWN, {**ERROR, "more": 1}])
    assert read(tmp_path, "c", with_inputs=True) == [SHOWN, ERROR]


def test_inputs_are_left_where_they_are_private(tmp_path: Path) -> None:
    Store(tmp_path).write_misclassified("c", [SHOWN, {**ERROR, "text": "a letter"}])
    assert read(tmp_path, "c", with_inputs=False) == [ERROR, ERROR]


@pytest.mark.parametrize("content", ["", "{}x", "[1]", '[{"id": "x"}]', "[" * 100_000, "3", "null"])
def test_a_file_that_is_damaged_is_as_good_as_none(tmp_path: Path, content: str) -> None:
    assert read(tmp_path, "c", with_inputs=True) is None
    (tmp_path / "misclassified").mkdir()
    (tmp_path / "misclassified/c.json").write_text(content)
    assert read(tmp_path, "c", with_inputs=True) is None


@pytest.mark.parametrize(
    ("config", "shown"),
    [({}, True), ({"report": {"examples": True}}, True), ({"report": {"examples": False}}, False)],
)
def test_the_suite_says_whether_inputs_are_shown(config: dict[str, object], shown: bool) -> None:
    assert may_show(Plan(suite="s", config=config)) is shown
