"""The files beside the page hold all that is known of each cell, and nothing that they may not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from harness.record.schema import Coordinates, Further, Record
from harness.record.store import Store
from harness.report.analysis.report import analyse
from harness.report.page.cells import EACH, PAIRS, TAIL, render_cells

Cell = Callable[..., Coordinates]
Done = Callable[..., Record]
Folder = Callable[..., Path]

ERROR = {"id": 4, "true": "ant", "taken": "bee", "confidence": 0.93}


def told(directory: Path) -> dict[str, tuple[Any, Any]]:
    """Record and what else is told, by cell."""
    found = {}
    for content in render_cells(analyse(Store(directory)))().values():
        text = content.decode().removeprefix("harnessCells(").removesuffix(");\n")
        found |= {key: (record, more) for key, record, more in json.loads(json.loads(text))}
    return found


def test_each_file_has_the_next_cells_of_the_plan(results: Path) -> None:
    files = render_cells(analyse(Store(results)))()
    cells = [cell.cell for cell in Store(results).plan().cells]
    assert [*files] == [f"{number}.js" for number in range(1, -(-len(cells) // EACH) + 1)]
    assert [*told(results)] == cells


def test_a_record_is_told_whole(results: Path) -> None:
    records = {record.cell: record for record in Store(results).records()}
    for key, (record, _) in told(results).items():
        if key not in records:
            assert record is None
            continue
        assert record["metrics"] == records[key].metrics
        assert len(record["trials"]) == len(records[key].trials)
        assert record["provenance"] == records[key].provenance


def test_names_stay_what_they_are(folder: Folder, cell: Cell, done: Done) -> None:
    """Some mean something in HTML, some in JavaScript, some in JSON."""
    names = {
        "__proto__": 1,
        "</script><script>alert(1)</script>": "\u2028'\"\\`${x}",
        "nan": np.nan,
    }
    record = done(cell("a", 5, 0, cell="__proto__"), 0.5, provenance=names)
    ((key, (seen, _)),) = told(folder([record], [record])).items()
    assert key == "__proto__"
    assert seen["provenance"] == {**names, "nan": "nan"}


def test_predictions_are_counted(folder: Folder, cell: Cell, done: Done) -> None:
    record = done(cell("a", 5, 0), 0.5)
    directory = folder([record], [record])
    draw = np.random.default_rng(0)
    logits, labels = draw.normal(size=(60, 4)), draw.integers(0, 4, 60)
    store = Store(directory)
    arrays = {"logits": logits, "labels": labels, "ids": np.arange(60)}
    store.write_predictions(record.cell, arrays)
    store.write_split("split0", {"classes": ["a", "b", "c", "<d>"]})
    predicted = told(directory)[record.cell][1]["predicted"]
    expected = confusion_matrix(labels, logits.argmax(1))
    found = np.diag(predicted["right"])
    for true, taken, count in predicted["pairs"]:
        found[true, taken] = count
    assert np.array_equal(found, expected)
    assert predicted["examples"] == expected.sum(1).tolist()
    assert predicted["classes"] == ["a", "b", "c", "<d>"]
    counts = [count for *_, count in predicted["pairs"]]
    assert counts == sorted(counts, reverse=True)


def test_of_many_classes_the_most_frequent_mistakes_are_told(
    folder: Folder, cell: Cell, done: Done
) -> None:
    record = done(cell("a", 5, 0), 0.5)
    directory = folder([record], [record])
    labels = np.arange(1000) % 50
    logits = np.eye(50)[np.random.default_rng(0).permutation(labels)]
    arrays = {"logits": logits, "labels": labels, "ids": labels}
    Store(directory).write_predictions(record.cell, arrays)
    assert len(told(directory)[record.cell][1]["predicted"]["pairs"]) == PAIRS


def test_damaged_predictions_are_told_so(folder: Folder, cell: Cell, done: Done) -> None:
    record = done(cell("a", 5, 0), 0.5)
    directory = folder([record], [record])
    (directory / "predictions").mkdir()
    (directory / f"predictions/{record.cell}.npz").write_bytes(b"PK")
    assert "is damaged" in told(directory)[record.cell][1]["predicted"]["why"]


def test_the_end_of_a_log_is_told(folder: Folder, cell: Cell, done: Done) -> None:
    record = done(cell("a", 5, 0), status="crashed", log="logs/a.log")
    directory = folder([record], [record])
    (directory / "logs").mkdir()
    (directory / "logs/a.log").write_bytes(b"x" * 2 * TAIL + b"\x1b[31mthe end\xff\x1b[0m")
    log = told(directory)[record.cell][1]["log"]
    assert log["name"] == "logs/a.log"
    assert log["tail"].startswith("…xx")
    assert log["tail"].endswith("xxthe end\ufffd")


@pytest.mark.parametrize(
    "name", ["../secret", "/etc/hostname", "logs/../../secret", "logs/absent", ""]
)
def test_a_record_can_name_no_other_file(folder: Folder, cell: Cell, done: Done, name: str) -> None:
    record = done(cell("a", 5, 0), status="crashed", log=name)
    directory = folder([record], [record])
    (directory.parent / "secret").write_text("private")
    assert told(directory)[record.cell][1]["log"] is None


def test_errors_on_further_tests_are_told_by_their_names(
    folder: Folder, cell: Cell, done: Done
) -> None:
    further = {"bent/1": Further(metrics={"accuracy": 0.4}), "not kept": Further()}
    record = done(cell("a", 5, 0, tests=tuple(further)), 0.5, further=further)
    directory = folder([record], [record])
    Store(directory).write_misclassified(record.cell, [ERROR], "bent/1")
    more = told(directory)[record.cell][1]
    assert more["errors"] is None
    assert more["further"] == {"bent/1": [ERROR]}


@pytest.mark.parametrize("shown", [True, False])
def test_errors_are_told_and_private_inputs_are_not(
    folder: Folder, cell: Cell, done: Done, shown: bool
) -> None:
    record = done(cell("a", 5, 0), 0.5)
    directory = folder([record], [record], config={"report": {"examples": shown}})
    kept = {**ERROR, "name": "ward 7/Jane Doe.png", "image": "image/png;base64,AAAA"}
    Store(directory).write_misclassified(record.cell, [kept])
    assert told(directory)[record.cell][1]["errors"] == [kept if shown else ERROR]
