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
        export.command.callback(results, "cells", "parquet")


def test_a_folder_without_results_is_refused(harness, tmp_path):
    assert harness("export", tmp_path).status == 2


# ── trials and predictions ────────────────────────────────────────────────────────────────────


def test_trials_and_predictions_are_exported_too(harness, results):
    trials = pd.read_csv(io.StringIO(harness("export", results, "--what", "trials").out))
    assert len(trials) == 8
    assert trials["selected"].sum() == 4
    assert "params_lr" in trials
    answers = pd.read_csv(io.StringIO(harness("export", results, "--what", "predictions").out))
    accuracy = answers.groupby("cell")["correct"].mean()
    cells = pd.read_csv(io.StringIO(harness("export", results).out)).set_index("cell")
    pd.testing.assert_series_equal(accuracy, cells["accuracy"][accuracy.index], check_names=False)


@pytest.mark.parametrize("what", ["cells", "trials", "predictions"])
def test_every_table_is_the_same_in_all_formats(harness, results, what):
    as_csv = pd.read_csv(io.StringIO(harness("export", results, "--what", what).out))
    words = ("export", results, "--what", what, "--format")
    as_json = json.loads(harness(*words, "json").out)
    parquet = pd.read_parquet(io.BytesIO(harness(*words, "parquet").raw))
    assert len(as_csv) == len(as_json) == len(parquet) > 0
    assert [*as_csv] == [*as_json[0]] == [*parquet]
    assert {row["shots"] for row in as_json} == {2}


def test_damaged_predictions_are_told_in_a_line(harness, results):
    path = min((results / "predictions").glob("*.npz"))
    path.write_bytes(b"torn")
    ended = harness("export", results, "--what", "predictions")
    assert ended.status == 0
    assert ended.complaint == f"harness: {path} is damaged, or no npz file: its rows are left out"
