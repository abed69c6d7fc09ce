"""``harness export``: a results folder as a table on standard output."""

import contextlib
import csv
import io
import json
import os

import pandas as pd
import pytest

from harness.cli import export
from harness.errors import HarnessError
from harness.record.store import COLUMNS


def test_csv_is_one_row_a_planned_cell(harness, results):
    ended = harness("export", results)
    assert (ended.status, ended.err) == (0, "")
    rows = list(csv.DictReader(io.StringIO(ended.out)))
    assert list(rows[0]) == list(COLUMNS)
    assert [(row["strategy"], row["seed"], row["status"]) for row in rows] == [
        ("linear_probe", "0", "ok"),
        ("full_finetune", "0", "ok"),
        ("linear_probe", "1", "ok"),
        ("full_finetune", "1", "ok"),
    ]
    assert {row["trials"] for row in rows} == {"2"}


def test_all_formats_agree(harness, results):
    as_csv = pd.read_csv(io.StringIO(harness("export", results).out))
    as_json = pd.DataFrame(json.loads(harness("export", results, "--format", "json").out))
    parquet = pd.read_parquet(io.BytesIO(harness("export", results, "--format", "parquet").raw))
    assert list(as_csv["accuracy"]) == list(as_json["accuracy"]) == list(parquet["accuracy"])
    assert list(as_csv["log_loss"]) == list(as_json["log_loss"]) == list(parquet["log_loss"])
    assert list(as_csv["cell"]) == list(as_json["cell"]) == list(parquet["cell"])


def test_a_cell_without_a_record_is_pending(harness, results):
    records = sorted((results / "records").glob("*.json"))
    records[0].unlink()
    rows = list(csv.DictReader(io.StringIO(harness("export", results).out)))
    (pending,) = (row for row in rows if row["status"] == "pending")
    assert pending["cell"] == records[0].stem
    assert pending["accuracy"] == ""


def test_parquet_is_not_for_terminals(results):
    ours, theirs = os.openpty()
    with (
        open(ours, "rb"),
        open(theirs, "w") as terminal,
        contextlib.redirect_stdout(terminal),
        pytest.raises(HarnessError, match=r"Parquet is no text for a terminal\. Add > FILE"),
    ):
        export.command.callback(results, "parquet")


def test_a_folder_without_results_is_refused(harness, tmp_path):
    assert harness("export", tmp_path).status == 2
