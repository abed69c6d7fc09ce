"""The results folder: written whole or not at all, believed only where it can be."""

import errno
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
from harness.record import reading
from harness.record import store as stores
from harness.record.files import CannotWrite
from harness.record.reading import checksum
from harness.record.schema import SCHEMA_VERSION, Further, Plan
from harness.record.store import COLUMNS, PENDING, Store, predictions_file
from harness.record.table import to_csv, to_json, to_parquet, typed

NEWER = SCHEMA_VERSION + 1

PROMISED = (
    "cell suite strategy label dataset protocol shots backbone seed status reason accuracy "
    "accuracy_val balanced_accuracy recall_macro f1_macro f1_weighted log_loss ece "
    "seconds_prepare seconds_features seconds_tune seconds_fit seconds_test seconds_total "
    "peak_device_bytes peak_host_bytes trainable_params total_params trials trials_failed "
    "split_hash cached"
).split()
"""DESIGN §4b."""

# ── written whole or not at all ───────────────────────────────────────────────────────────────


def test_a_split_is_written_once(store):
    path = store.directory / "splits/0f.json"
    store.write_split("0f", {"train": [1]})
    written = path.stat()
    store.write_split("0f", {"train": [1]})
    assert path.stat().st_ino == written.st_ino
    assert path.stat().st_mtime_ns == written.st_mtime_ns


@pytest.mark.parametrize("damage", [b"", b'{"train": [2]}', b'{"train": ', b"\xff" * 14, bytes(99)])
def test_a_split_that_was_damaged_is_put_right(store, damage):
    store.write_split("0f", {"train": [1]})
    path = store.directory / "splits/0f.json"
    path.write_bytes(damage)
    store.write_split("0f", {"train": [1]})
    assert json.loads(path.read_text()) == {"train": [1]}


def test_predictions_hold_no_pickle(store):
    store.write_predictions("abc", {"logits": np.eye(3), "ids": np.arange(3)})
    with np.load(store.directory / "predictions/abc.npz", allow_pickle=False) as found:
        assert set(found) == {"logits", "ids"}
    with pytest.raises(ValueError, match="Object arrays cannot be saved"):
        store.write_predictions("abc", {"logits": np.array([{}])})


def test_a_further_test_may_have_any_name(store):
    store.write_predictions("abc", {"ids": np.arange(3)}, "../a/b: c")
    (file,) = (store.directory / "predictions").iterdir()
    assert file.relative_to(store.directory).as_posix() == predictions_file("abc", "../a/b: c")
    assert predictions_file("abc", "other") != predictions_file("abc", "../a/b: c")
    assert predictions_file("abc") == "predictions/abc.npz"


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
        spoiled(lambda record: record | {"schema_version": NEWER}),
        spoiled(lambda record: record | {"schema_version": NEWER, "novelty": 1}),
        spoiled(lambda record: record | {"schema_version": 0}),
        spoiled(lambda record: record | {"schema_version": True}),
        spoiled(lambda record: {k: v for k, v in record.items() if k != "schema_version"}),
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
        (lambda text: text[:99], "its record can't be read: it is torn, or no JSON"),
        (lambda text: "[" * 100_000, "its record can't be read: it is torn, or no JSON"),
        (lambda text: f'{{"schema_version": 2, "a": {"[" * 900}{"]" * 900}}}', "was changed"),
        (lambda text: text.replace("0.75", "9" * 5000), "its record can't be read"),
        (lambda text: "[]", "its record is none"),
        (lambda text: text.replace("0.75", "0.95"), "was changed after it was written"),
        (edited(lambda r: r | {"metrics": {"accuracy": 1.0}}), "was changed after it was written"),
        (edited(lambda r: r | {"checksum": None}), "was changed after it was written"),
        (
            spoiled(lambda r: r | {"schema_version": NEWER}),
            f"by a newer version of the harness ({NEWER};",
        ),
        (
            edited(lambda r: r | {"schema_version": 99}),
            f"(99; this one reads up to {SCHEMA_VERSION})",
        ),
        (spoiled(lambda r: r | {"schema_version": "2"}), "does not say of which version it is"),
        (spoiled(lambda r: r | {"status": "splendid"}), "is not a valid one"),
        (spoiled(lambda r: r | {"cell": "b"}), "is that of another cell, 'b'"),
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
        ('{"suite": "\\ud800", "schema_version": 1}', "is not a valid one: it has what is no text"),
        ("", "can't be read: it is torn, or no JSON. Run the suite again: finished cells are kept"),
        ("[]", "is none. Run the suite again"),
        ('{"suite": "small", "schema_version": 2}', "was changed after it was written. Run the"),
        ('{"suite": 7, "schema_version": 1}', "is not a valid one: Input should be a valid string"),
        (
            f'{{"suite": "small", "schema_version": {NEWER}}}',
            f"was written by a newer version of the harness ({NEWER}; this one reads up to "
            f"{SCHEMA_VERSION}). Use that",
        ),
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


def test_an_edited_plan_is_not_believed(mixed):
    """Or labels could change places, and with them the numbers."""
    path = mixed.directory / "plan.json"
    path.write_text(path.read_text().replace('"LP"', '"FT"', 1))
    with pytest.raises(HarnessError, match=r"plan.json was changed after it was written. Run"):
        mixed.frame()


def test_a_record_that_is_no_file_or_has_no_end_is_not_read(mixed):
    records = mixed.directory / "records"
    for name in "abd":
        (records / f"{name}.json").unlink()
    (records / "a.json").mkdir()
    (records / "b.json").symlink_to("b.json")
    with (records / "d.json").open("wb") as file:
        file.truncate(200_000_000)
    os.mkfifo(records / "c.json")
    (records / os.fsdecode(b"\xff.json")).touch()
    frame = mixed.frame()
    assert list(frame["status"]) == ["damaged"] * 4
    assert list(frame["reason"]) == [
        "its record can't be read: it is a folder",
        "its record can't be read: Too many levels of symbolic links",
        "its record can't be read: it is no file",
        "its record can't be read: it has 200,000,000 bytes",
    ]
    assert mixed.records() == []
    assert len(mixed.strays()) == 1


def test_a_record_may_lack_any_speed(store, makes):
    store.write_plan(Plan(suite="small", cells=[makes.cell()]))
    for speeds, one, many in (({}, None, None), ({"2": 3.0}, None, 3.0), ({"1": 4.0}, 4.0, 4.0)):
        store.write_record(makes.record(throughput=speeds))
        row = json.loads(to_json(typed(store.frame())))[0]
        assert (row["throughput_one"], row["throughput_many"]) == (one, many)


def test_no_metric_can_pass_for_something_else(store, makes):
    store.write_plan(Plan(suite="small", cells=[makes.cell()]))
    store.write_record(makes.record(metrics={"accuracy": 0.5, "seed": 7.0, "trials": 9.0}))
    row = store.frame().iloc[0]
    assert (row["seed"], row["trials"]) == (0, 4)


# ── set aside ─────────────────────────────────────────────────────────────────────────────────


def test_what_cannot_be_believed_is_set_aside_with_a_reason(mixed):
    path = mixed.directory / "records/a.json"
    torn = path.read_bytes()[:99]
    path.write_bytes(torn)
    assert mixed.set_aside(mixed.plan().cells) == [
        "LP on digits, 5-shot, seed 0 (conv4): its record can't be read: it is torn, or no JSON. "
        "It is now set-aside/a.json"
    ]
    assert (mixed.directory / "set-aside/a.json").read_bytes() == torn
    assert list(mixed.frame()["status"]) == ["pending", "failed", PENDING, "ok"]
    assert mixed.set_aside(mixed.plan().cells) == []


def test_nothing_that_was_set_aside_is_overwritten(mixed):
    path = mixed.directory / "records/a.json"
    for content in ("one", "two", "three"):
        path.write_text(content)
        mixed.set_aside(mixed.plan().cells)
    path.mkdir()
    (path / "inner").touch()
    mixed.set_aside(mixed.plan().cells)
    aside = mixed.directory / "set-aside"
    files = [aside / name for name in ("a.json", "a.1.json", "a.2.json")]
    assert [file.read_text() for file in files] == ["one", "two", "three"]
    assert (aside / "a.3.json/inner").exists()
    assert len(list(aside.iterdir())) == 4


def test_a_plan_is_set_aside_too(mixed, makes):
    (mixed.directory / "plan.json").write_text("{")
    (line,) = mixed.set_aside([makes.cell("a")])
    assert line == (
        "plan.json can't be read: it is torn, or no JSON. It is now set-aside/plan.json"
    )
    with pytest.raises(HarnessError, match="holds no results"):
        mixed.plan()
    assert mixed.record("a") is not None


def test_there_is_nothing_to_set_aside_in_a_new_folder(store, makes):
    assert store.set_aside([makes.cell()]) == []
    assert not store.directory.exists()


@pytest.mark.parametrize("name", ["plan", "records/b"])
def test_what_a_newer_harness_wrote_is_refused_and_left_alone(mixed, name):
    cells = mixed.plan().cells
    (mixed.directory / "records/a.json").write_text("damaged, and yet not moved")
    path = mixed.directory / f"{name}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema_version": NEWER}))
    before = contents(mixed.directory)
    with pytest.raises(HarnessError) as caught:
        mixed.set_aside(cells)
    assert str(caught.value) == (
        f"{path} was written by a newer version of the harness ({NEWER}; this one reads up to "
        f"{SCHEMA_VERSION}). Use "
        "that version, or another folder (--results); nothing here was changed"
    )
    if name == "plan":
        with pytest.raises(HarnessError, match="was written by a newer version of the harness"):
            mixed.write_plan(Plan(suite="small"))
    assert contents(mixed.directory) == before


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_cannot_be_got_at_is_not_taken_for_damaged(mixed, monkeypatch):
    """Too many open files, or a disk that is away for a moment."""
    before = contents(mixed.directory)

    def fail(path, most):
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        cells = mixed.plan().cells
        patch.setattr(reading, "read_file", fail)
        with pytest.raises(HarnessError, match=r"plan.json can't be read: Too many open files. "):
            mixed.set_aside(cells)
        assert "Too many open files" in str(mixed.judged(cells[0])[1])
    assert contents(mixed.directory) == before


def test_two_runners_set_aside_the_same_record_once(mixed, makes, monkeypatch):
    (mixed.directory / "records/a.json").write_text("{")
    move = stores.move

    def faster(path, target):
        move(path, target)
        move(path, target)

    monkeypatch.setattr(stores, "move", faster)
    assert mixed.set_aside([makes.cell("a")]) == []
    assert (mixed.directory / "set-aside/a.json").exists()


def test_a_folder_that_cannot_be_written_is_told(mixed, makes):
    (mixed.directory / "set-aside").touch()
    (mixed.directory / "records/a.json").write_text("{")
    with pytest.raises(CannotWrite, match="A file is where a folder should be"):
        mixed.set_aside([makes.cell("a")])
    assert (mixed.directory / "records/a.json").read_text() == "{"


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
    assert set(pending.dropna().index) == {*there, "seed", "status", "baseline"}


def test_the_plan_decides_what_a_cell_is_called(store, makes):
    store.write_record(makes.record("a", label="old name"))
    store.write_plan(Plan(suite="small", cells=[makes.cell("a", label="new name")]))
    assert list(store.frame()["label"]) == ["new name"]


def test_a_plan_without_cells_has_a_frame_too(store):
    store.write_plan(Plan(suite="small"))
    assert list(store.frame().columns) == list(COLUMNS)
    assert to_json(typed(store.frame())) == "[]"


def test_a_further_test_has_a_row_of_its_own(store, makes):
    """Its metrics and leaks; all else is that of the one training."""
    cells = [makes.cell("a", tests=("bent",)), makes.cell("b", seed=1, tests=("bent",))]
    store.write_plan(Plan(suite="small", cells=cells))
    bent = Further(metrics={"accuracy": 0.25, "ece": 0.5}, leaks={"train-test": 3}, examples=9)
    metrics = {"accuracy": 0.75, "accuracy_val": 0.5, "log_loss": 1.0}
    done = {"tests": ("bent",), "further": {"bent": bent}, "metrics": metrics}
    store.write_record(makes.record("a", leaks={"val-test": 1}, **done))
    frame = store.frame()
    assert list(frame["cell"]) == ["a", "a", "b", "b"]
    assert list(frame["test"].fillna("")) == ["", "bent", "", "bent"]
    assert list(frame["status"]) == ["ok", "ok", PENDING, PENDING]
    own, further = frame.iloc[0], frame.iloc[1]
    assert (own["accuracy"], own["leaks"]) == (0.75, "1 val-test")
    assert (further["accuracy"], further["leaks"], further["ece"]) == (0.25, "3 train-test", 0.5)
    assert math.isnan(further["log_loss"])
    alike = ["accuracy_val", "seconds_total", "trials", "trainable_params", "seed", "split_hash"]
    assert (own[alike] == further[alike]).all()


# ── exports ───────────────────────────────────────────────────────────────────────────────────


def rows(frame):
    """A frame's rows with None for what is missing."""
    table = frame.astype(object)
    return table.where(table.notna(), None).to_dict("records")


def test_all_formats_hold_the_same(mixed):
    frame = mixed.frame()
    parquet = pd.read_parquet(io.BytesIO(to_parquet(typed(frame))))
    as_json = json.loads(to_json(typed(frame)))
    assert rows(parquet) == [row | {"shots": str(row["shots"])} for row in as_json]
    types = dict(zip(parquet.columns, map(str, parquet.dtypes), strict=True))
    assert rows(pd.read_csv(io.StringIO(to_csv(typed(frame))), dtype=types)) == rows(parquet)


def test_no_digit_is_lost(mixed):
    third = json.loads(to_json(typed(mixed.frame())))[3]["accuracy"]
    assert third == 1 / 3
    assert repr(1 / 3) in to_csv(typed(mixed.frame()))


def test_whole_numbers_stay_whole_though_other_cells_lack_them(mixed):
    head, first, *_ = to_csv(typed(mixed.frame())).splitlines()
    cells = dict(zip(head.split(","), first.split(","), strict=True))
    assert (cells["trainable_params"], cells["trials"], cells["ways"]) == ("650", "4", "")


def test_json_is_for_any_reader(mixed):
    """No NaN, which is no JSON, and shots as in the suite."""

    def refuse(constant):
        raise AssertionError(constant)

    found = json.loads(to_json(typed(mixed.frame())), parse_constant=refuse)
    assert [row["shots"] for row in found] == [5, 5, "all", 1]
    assert found[2]["accuracy"] is None


def test_types_do_not_depend_on_what_is_done(store, makes, mixed):
    done = pd.read_parquet(io.BytesIO(to_parquet(typed(mixed.frame()))))
    store.write_plan(Plan(suite="small", cells=[makes.cell("nothing")]))
    nothing = pd.read_parquet(io.BytesIO(to_parquet(typed(store.frame()))))
    assert dict(nothing.dtypes) == dict(done.drop(columns="new_metric").dtypes)


def test_an_infinite_metric_is_not_taken_for_a_missing_one(store, makes):
    store.write_plan(Plan(suite="small", cells=[makes.cell()]))
    store.write_record(makes.record(metrics={"log_loss": math.inf}))
    frame = store.frame()
    assert pd.read_csv(io.StringIO(to_csv(typed(frame))))["log_loss"][0] == math.inf
    assert json.loads(to_json(typed(frame)))[0]["log_loss"] == math.inf
