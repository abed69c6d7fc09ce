"""The results folder: written whole or not at all, believed only where it can be."""

import io
import json
import math
import os

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import HarnessError
from harness.record import store as stores
from harness.record.schema import Plan
from harness.record.store import COLUMNS, PENDING, Store, checksum
from harness.record.table import to_csv, to_json, to_parquet

PROMISED = (
    "cell suite strategy label dataset protocol shots backbone seed status reason accuracy "
    "accuracy_val balanced_accuracy recall_macro f1_macro f1_weighted log_loss ece "
    "seconds_prepare seconds_features seconds_tune seconds_fit seconds_test seconds_total "
    "peak_device_bytes peak_host_bytes trainable_params total_params trials trials_failed "
    "split_hash cached"
).split()
"""DESIGN §4b."""

# ── written whole or not at all ───────────────────────────────────────────────────────────────


@pytest.fixture
def dies(monkeypatch):
    """Lets the process die, so to speak, when it comes to one step of a write."""

    def at(step, death=KeyboardInterrupt):
        def die(*arguments, **named):
            raise death

        monkeypatch.setattr(stores.os, step, die)

    return at


@pytest.mark.parametrize("step", ["fdopen", "fsync", "chmod", "replace"])
@pytest.mark.parametrize("death", [KeyboardInterrupt, OSError])
def test_a_death_in_the_middle_of_a_write_leaves_the_old_record(store, makes, dies, step, death):
    path = store.write_record(makes.record())
    old = path.read_bytes()
    dies(step, death)
    with pytest.raises(death):
        store.write_record(makes.record(status="failed"))
    assert path.read_bytes() == old
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_death_after_a_write_is_no_other_error(store, makes, monkeypatch):
    replace = os.replace

    def die_after(*arguments):
        replace(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(stores.os, "replace", die_after)
    with pytest.raises(KeyboardInterrupt):
        store.write_record(makes.record())
    assert store.record("abc") == makes.record()


def test_what_is_written_can_be_read_by_others(store, makes):
    path = store.write_record(makes.record())
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_split_is_written_once(store):
    store.write_split("0f", {"train": [1]})
    store.write_split("0f", {"train": [2]})
    assert json.loads((store.directory / "splits/0f.json").read_text()) == {"train": [1]}


def test_predictions_hold_no_pickle(store):
    store.write_predictions("abc", {"logits": np.eye(3), "ids": np.arange(3)})
    with np.load(store.directory / "predictions/abc.npz", allow_pickle=False) as found:
        assert set(found) == {"logits", "ids"}
    with pytest.raises(ValueError, match="Object arrays cannot be saved"):
        store.write_predictions("abc", {"logits": np.array([{}])})


# ── believed or not ───────────────────────────────────────────────────────────────────────────


def test_a_record_is_read_as_it_was_written(store, makes):
    store.write_record(makes.record())
    assert store.record("abc") == makes.record()
    assert store.records() == [makes.record()]


def spoiled(change):
    """How to spoil a record: by changing its JSON, and its checksum with it."""

    def spoil(text):
        content = change(json.loads(text))
        content.pop("checksum")
        return json.dumps(content | {"checksum": checksum(content)})

    return spoil


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: text + "}",
        lambda text: "[]",
        spoiled(lambda record: record | {"cell": "another"}),
        spoiled(lambda record: record | {"schema_version": 2}),
        spoiled(lambda record: record | {"schema_version": 2, "novelty": 1}),
        spoiled(lambda record: record | {"status": "splendid"}),
        spoiled(lambda record: {k: v for k, v in record.items() if k != "status"}),
    ],
)
def test_a_torn_foreign_or_newer_record_is_not_believed(store, makes, spoil):
    path = store.write_record(makes.record())
    path.write_text(spoil(path.read_text()))
    assert store.record("abc") is None
    assert store.records() == []


def edited(change):
    """A record as someone left it who edited the file."""
    return lambda text: json.dumps(change(json.loads(text)))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda text: text[:99], "its record can't be read"),
        (lambda text: "[]", "its record is none"),
        (lambda text: text.replace("0.75", "0.95"), "was changed after it was written"),
        (edited(lambda r: r | {"metrics": {"accuracy": 1.0}}), "was changed after it was written"),
        (edited(lambda r: r | {"checksum": None}), "was changed after it was written"),
        (spoiled(lambda r: r | {"schema_version": 2}), "was written by another version"),
        (spoiled(lambda r: r | {"status": "splendid"}), "is not a valid one"),
        (spoiled(lambda r: r | {"cell": "b"}), "is that of another cell, b"),
        (spoiled(lambda r: r | {"seed": 7}), "is that of another seed"),
        (spoiled(lambda r: r | {"shots": "all"}), "is that of another shots"),
    ],
)
def test_a_record_that_was_tampered_with_is_no_result(mixed, spoil, said):
    """The tidy frame has a gap with a reason in its place, and never its numbers."""
    path = mixed.directory / "records/a.json"
    path.write_text(spoil(path.read_text()))
    row = mixed.frame().iloc[0]
    assert row["status"] == "damaged"
    assert said in row["reason"]
    assert math.isnan(row["accuracy"])


def test_spaces_and_the_order_of_entries_are_no_change(mixed):
    path = mixed.directory / "records/a.json"
    path.write_text(json.dumps(json.loads(path.read_text()), sort_keys=True))
    assert mixed.frame()["status"][0] == "ok"


def test_leftovers_of_a_killed_write_are_no_records(store, makes):
    path = store.write_record(makes.record())
    (path.parent / ".abc.json.x1y2").write_text(path.read_text())
    assert store.records() == [makes.record()]


@given(st.binary())
def test_no_bytes_at_all_break_reading(tmp_path_factory, content):
    store = Store(tmp_path_factory.mktemp("any"))
    path = store.path_for("records/abc.json")
    path.write_bytes(content)
    assert store.record("abc") is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "holds no results (no plan.json). Name the folder that 'harness suite' wrote"),
        ("", "is damaged or was written by another version of the harness. Run the suite again"),
        ('{"suite": "small", "schema_version": 2}', "was written by another version"),
    ],
)
def test_a_folder_without_a_usable_plan_says_so(store, content, said):
    if content is not None:
        store.path_for("plan.json").write_text(content)
    with pytest.raises(HarnessError) as caught:
        store.plan()
    assert said in str(caught.value)
    assert str(store.directory) in str(caught.value)


def test_a_file_is_no_results_folder(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(HarnessError, match="holds no results"):
        Store(tmp_path / "file").plan()


# ── the tidy frame ────────────────────────────────────────────────────────────────────────────


def test_the_frame_has_the_columns_that_are_promised(mixed):
    assert set(PROMISED) <= set(COLUMNS)
    assert list(mixed.frame().columns) == [*COLUMNS, "new_metric"]


def test_the_frame_has_one_row_a_planned_cell_in_the_plans_order(mixed, makes):
    mixed.write_record(makes.record("stranger"))
    frame = mixed.frame()
    assert list(frame["cell"]) == ["a", "b", "c", "d"]
    assert list(frame["status"]) == ["ok", "failed", PENDING, "ok"]
    assert list(frame["shots"]) == [5, 5, "all", 1]


def test_a_row_tells_what_the_record_does(mixed):
    row = mixed.frame().iloc[0]
    assert (row["accuracy"], row["accuracy_val"]) == (0.75, 0.5)
    assert (row["seconds_pretrain"], row["seconds_tune"], row["seconds_total"]) == (3.0, 1.5, 2.0)
    assert (row["trials"], row["trials_failed"]) == (4, 2)
    assert (row["cached"], row["split_hash"], row["trainable_params"]) == (
        "pretrain features",
        "0f",
        650,
    )


def test_what_a_cell_does_not_have_is_missing(mixed):
    pending = mixed.frame().set_index("cell").loc["c"]
    there = {"suite", "strategy", "label", "dataset", "problem", "protocol", "shots", "backbone"}
    assert set(pending.dropna().index) == {*there, "seed", "status"}


def test_the_plan_decides_what_a_cell_is_called(store, makes):
    store.write_record(makes.record("a", label="old name"))
    store.write_plan(Plan(suite="small", cells=[makes.cell("a", label="new name")]))
    assert list(store.frame()["label"]) == ["new name"]


def test_a_plan_without_cells_has_a_frame_too(store):
    store.write_plan(Plan(suite="small"))
    assert list(store.frame().columns) == list(COLUMNS)
    assert to_json(store.frame()) == "[]"


# ── exports ───────────────────────────────────────────────────────────────────────────────────


def rows(frame):
    """A frame's rows with None for what is missing."""
    table = frame.astype(object)
    return table.where(table.notna(), None).to_dict("records")


def test_all_formats_hold_the_same(mixed):
    frame = mixed.frame()
    parquet = pd.read_parquet(io.BytesIO(to_parquet(frame)))
    as_json = json.loads(to_json(frame))
    assert rows(parquet) == [row | {"shots": str(row["shots"])} for row in as_json]
    types = dict(zip(parquet.columns, map(str, parquet.dtypes), strict=True))
    assert rows(pd.read_csv(io.StringIO(to_csv(frame)), dtype=types)) == rows(parquet)


def test_no_digit_is_lost(mixed):
    third = json.loads(to_json(mixed.frame()))[3]["accuracy"]
    assert third == 1 / 3
    assert repr(1 / 3) in to_csv(mixed.frame())


def test_whole_numbers_stay_whole_though_other_cells_lack_them(mixed):
    head, first, *_ = to_csv(mixed.frame()).splitlines()
    cells = dict(zip(head.split(","), first.split(","), strict=True))
    assert (cells["trainable_params"], cells["trials"], cells["ways"]) == ("650", "4", "")


def test_json_is_for_any_reader(mixed):
    """No NaN, which is no JSON, and shots as in the suite."""

    def refuse(constant):
        raise AssertionError(constant)

    found = json.loads(to_json(mixed.frame()), parse_constant=refuse)
    assert [row["shots"] for row in found] == [5, 5, "all", 1]
    assert found[2]["accuracy"] is None


def test_types_do_not_depend_on_what_is_done(store, makes, mixed):
    done = pd.read_parquet(io.BytesIO(to_parquet(mixed.frame())))
    store.write_plan(Plan(suite="small", cells=[makes.cell("nothing")]))
    nothing = pd.read_parquet(io.BytesIO(to_parquet(store.frame())))
    assert dict(nothing.dtypes) == dict(done.drop(columns="new_metric").dtypes)


def test_an_infinite_metric_is_not_taken_for_a_missing_one(store, makes):
    store.write_plan(Plan(suite="small", cells=[makes.cell()]))
    store.write_record(makes.record(metrics={"log_loss": math.inf}))
    frame = store.frame()
    assert pd.read_csv(io.StringIO(to_csv(frame)))["log_loss"][0] == math.inf
    assert json.loads(to_json(frame))[0]["log_loss"] == math.inf
