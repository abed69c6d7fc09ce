"""What the page embeds for its explorer."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from harness.record.schema import Coordinates, Further, Record
from harness.record.store import Store
from harness.report.analysis.report import analyse
from harness.report.page import explorer
from harness.report.plots.style import looks
from harness.report.write import write_report

Cell = Callable[..., Coordinates]
Done = Callable[..., Record]
Folder = Callable[..., Path]

EMBEDDED = re.compile(r'<script type="application/json" id="explorer-data">(.*?)</script>', re.S)
SECRET = "image/png;base64,c2VjcmV0"


def told(directory: Path) -> Any:
    report = analyse(Store(directory))
    return json.loads(explorer.data(report, looks(report.strategies)))


def of(table: Any, index: int) -> dict[str, Any]:
    return {name: column[index] for name, column in table.items()}


def test_groups_and_cells_are_those_of_the_records(results: Path, frame: pd.DataFrame) -> None:
    data = told(results)
    names = {one["name"]: one["values"] for one in data["filters"]}
    assert names["shots"] == ["1 shot", "5 shots", "all data"]
    cells = pd.DataFrame(data["cells"])
    assert cells["key"].tolist() == frame["cell"].tolist()
    for index, mine in cells.groupby("group"):
        group = of(data["groups"], int(str(index)))
        rows = frame.loc[mine.index]
        assert set(rows["label"]) == {names["label"][group["label"]]}
        if rows["counts"].all():
            assert group["accuracy"] == pytest.approx(rows["accuracy"].mean(), rel=1e-4)
            assert not group["gap"]
        else:
            assert group["accuracy"] is None
            assert group["gap"]


def test_metrics_that_no_cell_has_are_left_out(results: Path) -> None:
    assert [metric["name"] for metric in told(results)["metrics"]] == [
        "accuracy",
        "f1_macro",
        "log_loss",
    ]


def test_every_mark_is_drawn_as_in_the_plots(results: Path) -> None:
    data = told(results)
    labels = data["filters"][0]["values"]
    assert len(data["looks"]) == len(labels)
    baseline = data["looks"][labels.index("from_scratch")]
    assert baseline["colour"] == "#8c8c8c"
    assert np.abs(np.array(baseline["points"])).max() == pytest.approx(0.5, abs=0.01)


def test_decisions_are_those_of_the_report(folder: Folder, cell: Cell, done: Done) -> None:
    scores = {
        "from_scratch": [0.50, 0.52, 0.51],
        "linear_probe": [0.80, 0.81, 0.82],
        "maml": [0.80, 0.80, 0.81],
    }
    records = [
        done(cell(label, 5, seed), accuracy)
        for label, accuracies in scores.items()
        for seed, accuracy in enumerate(accuracies)
    ]
    assert told(folder(records, records))["groups"]["verdict"] == [
        "behind",
        "highest mean",
        "not distinguishable",
    ]


def test_errors_are_those_of_what_is_to_be_taken(folder: Folder, cell: Cell, done: Done) -> None:
    """The probe is as good as the highest mean and costs a tenth; on the further test it is ahead,
    and there its errors are others."""
    scores = {"full_finetune": [0.90, 0.93, 0.91], "linear_probe": [0.91, 0.90, 0.924]}
    bent = {"full_finetune": [0.30, 0.31, 0.32], "linear_probe": [0.60, 0.61, 0.62]}
    records = [
        done(
            cell(label, 5, seed, tests=("bent",)),
            accuracy,
            further={"bent": Further(metrics={"accuracy": bent[label][seed]})},
        )
        for label, accuracies in scores.items()
        for seed, accuracy in enumerate(accuracies)
    ]
    directory = folder(records, records)
    error = {"true": "ant", "taken": "bee", "confidence": 0.9}
    for record in records:
        for number, test in enumerate((None, "bent")):
            Store(directory).write_misclassified(record.cell, [{**error, "id": number}], test)
    data = told(directory)
    shown = [(one["key"], data["groups"]["place"][one["group"]]) for one in data["recommended"]]
    probe = next(record.cell for record in records if record.label == "linear_probe")
    assert shown == [(probe, "digits, 5 shots"), (probe, "digits · bent, 5 shots")]
    assert [one["errors"][0]["id"] for one in data["recommended"]] == [0, 1]


def test_a_curve_is_that_of_the_chosen_trial(results: Path) -> None:
    data = told(results)
    records = {record.cell: record for record in Store(results).records()}
    assert data["curves"]
    for key, curve in data["curves"].items():
        trial = records[key].trials[records[key].selected or 0]
        assert curve == [[step, round(value, 4)] for step, value in trial.curve]
        assert data["settings"][key] == trial.settings


def test_only_so_many_bytes_of_curves_are_embedded(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explorer, "MOST_BYTES", 2000)
    data = told(results)
    assert 0 < len(json.dumps(data["curves"])) < 3000
    assert len(data["cells"]["key"]) == len(Store(results).plan().cells)


def test_a_suite_without_cells(folder: Folder) -> None:
    assert told(folder([]))["groups"]["place"] == []


def test_names_do_not_end_the_script(folder: Folder, cell: Cell, done: Done) -> None:
    label = "</script><script>alert(1)</script><!--"
    records = [done(cell(label, 5, seed, cell=f"c{seed}"), 0.5) for seed in range(2)]
    page = write_report(analyse(Store(folder(records, records))))
    (text,) = EMBEDDED.findall(page.read_text())
    assert json.loads(text)["filters"][0]["values"] == [label]


@pytest.mark.parametrize("shown", [True, False])
def test_private_inputs_are_in_no_file(folder: Folder, cell: Cell, done: Done, shown: bool) -> None:
    records = [done(cell("a", 5, seed), 0.5) for seed in range(2)]
    directory = folder(records, records, config={"report": {"examples": shown}})
    error = {"id": 4, "true": "ant", "taken": "bee", "confidence": 0.93}
    for record in records:
        kept = {**error, "name": "Jane Doe.png", "image": SECRET}
        Store(directory).write_misclassified(record.cell, [kept, {**error, "text": "my diagnosis"}])
    write_report(analyse(Store(directory)))
    contents = b"".join(path.read_bytes() for path in (directory / "report").rglob("*.*"))
    for secret in (SECRET, "Jane Doe", "my diagnosis"):
        assert (secret.encode() in contents) == shown
