"""Files of earlier versions are read as if this version had written them."""

import json
from pathlib import Path

import numpy as np
import pytest

from harness.plan import keys
from harness.record import migrate, reading
from harness.record.reading import InvalidFile, checksum
from harness.record.schema import SCHEMA_VERSION, Coordinates, Plan, Record
from harness.record.store import Store
from harness.registry import Sources, load

REFERENCE = Path(__file__).parents[2] / "results/reference/reference-cpu"

RECORD_1 = {
    "cell": "abc",
    "suite": "small",
    "label": "LP",
    "strategy": "linear_probe",
    "dataset": "digits",
    "problem": "digits",
    "protocol": "transfer",
    "shots": 5,
    "backbone": "conv4",
    "seed": 0,
    "schema_version": 1,
    "status": "ok",
    "metrics": {"accuracy": 0.75},
    "seconds": {"total": 2.0},
}
"""As version 1 wrote it, its checksum aside."""

PLAN_1 = {"schema_version": 1, "suite": "small", "config": {"seeds": [0]}, "cells": []}


@pytest.fixture
def written(tmp_path):
    def write(content):
        path = tmp_path / "abc.json"
        path.write_text(json.dumps(content))
        return path

    return write


def test_a_record_of_version_1_is_read(written):
    path = written({**RECORD_1, "checksum": checksum(RECORD_1)})
    before = path.read_bytes()
    record = reading.record(path, "abc")
    assert (record.schema_version, record.attempts, record.log) == (SCHEMA_VERSION, 1, None)
    assert record.model_dump(exclude_unset=True) == RECORD_1 | {
        "schema_version": SCHEMA_VERSION,
        "attempts": 1,
        "log": None,
        "baseline": False,
    }
    assert path.read_bytes() == before


def test_a_record_that_version_1_wrote_is_read_with_all_that_it_says():
    path = Path(__file__).with_name("record_1.json")
    content = json.loads(path.read_bytes())
    record = reading.record(path, content["cell"])
    said = json.loads(record.model_dump_json(exclude_unset=True))
    changed = {"schema_version": SCHEMA_VERSION, "attempts": 1, "log": None, "baseline": False}
    assert said | {"checksum": content["checksum"]} == content | changed


def test_a_record_that_version_3_wrote_is_read_with_all_that_it_says():
    path = Path(__file__).with_name("record_3.json")
    content = json.loads(path.read_bytes())
    record = reading.record(path, content["cell"])
    said = json.loads(record.model_dump_json(exclude_unset=True))
    changed = {"schema_version": SCHEMA_VERSION, "baseline": True}
    assert said | {"checksum": content["checksum"]} == content | changed


def test_a_record_that_version_4_wrote_is_read_with_all_that_it_says():
    path = Path(__file__).with_name("record_4.json")
    content = json.loads(path.read_bytes())
    record = reading.record(path, content["cell"])
    said = json.loads(record.model_dump_json(exclude_unset=True))
    changed = {"schema_version": SCHEMA_VERSION}
    assert said | {"checksum": content["checksum"]} == content | changed
    assert (record.starts_from, record.tests, record.further) == (None, (), {})


def test_before_version_4_a_baseline_without_weights_was_told_what_they_cost(written):
    told = RECORD_1 | {
        "strategy": "from_scratch",
        "schema_version": 3,
        "seconds": {"pretrain": 30.0, "total": 2.0},
        "cached": ["pretrain", "features"],
    }
    record = reading.record(written({**told, "checksum": checksum(told)}), "abc")
    assert (record.baseline, record.cached) == (True, ["features"])
    assert record.seconds == {"pretrain": 0.0, "total": 2.0}


def test_before_version_4_a_plan_named_no_baselines(written):
    cell = {name: RECORD_1[name] for name in Coordinates.model_fields if name in RECORD_1}
    cells = [cell | {"strategy": name} for name in ("source_only", "linear_probe")]
    plan = reading.plan(written(PLAN_1 | {"cells": cells}))
    assert [cell.baseline for cell in plan.cells] == [True, False]


def test_an_old_record_that_was_edited_is_not_believed(written):
    path = written({**RECORD_1, "checksum": checksum(RECORD_1), "metrics": {"accuracy": 0.95}})
    with pytest.raises(InvalidFile, match="was changed after it was written"):
        reading.record(path, "abc")


def test_a_plan_of_version_1_is_read(written):
    assert reading.plan(written(PLAN_1)) == Plan(suite="small", config={"seeds": [0]})


def test_a_plan_of_this_version_does_not_pass_for_an_old_one(written, tmp_path):
    """Or its checksum would be worth nothing."""
    Store(tmp_path).write_plan(Plan(suite="small"))
    content = json.loads((tmp_path / "plan.json").read_text())
    with pytest.raises(InvalidFile, match="is not a valid one"):
        reading.plan(written(content | {"schema_version": 1}))


@pytest.mark.parametrize("steps", [migrate.RECORD, migrate.PLAN])
def test_every_version_has_its_step(steps):
    assert sorted(steps) == list(range(1, SCHEMA_VERSION))


def test_steps_are_taken_one_after_the_other(monkeypatch):
    monkeypatch.setattr(migrate, "SCHEMA_VERSION", 4)
    steps = {n: lambda content, n=n: {"way": [*content.get("way", []), n]} for n in (1, 2, 3)}
    assert migrate.migrated({"schema_version": 1}, steps) == {"schema_version": 4, "way": [1, 2, 3]}
    assert migrate.migrated({"schema_version": 3}, steps) == {"schema_version": 4, "way": [3]}
    assert migrate.migrated({"schema_version": 4}, steps) == {"schema_version": 4}


class TestEarlierSources:
    """Built-in plugins that were changed, and no number with them."""

    def test_each_is_that_of_a_plugin_as_it_is_now(self):
        """Or what was finished by another plugin would pass for its own."""
        plugins = load(Sources()).plugins.values()
        known = {keys.source_digest(each.file) for each in plugins}
        for change in migrate.SAME_NUMBERS:
            assert change.keys() <= known
            known |= {*change.values()}

    def test_are_put_into_the_meaning_wherever_they_stand(self):
        now, before = next(iter(migrate.SAME_NUMBERS[0].items()))
        meaning = {"strategy": {"source": now, "args": {"a": 1}}, "backbone": {"code": "other"}}
        assert next(migrate.earlier(meaning)) == {
            "strategy": {"source": before, "args": {"a": 1}},
            "backbone": {"code": "other"},
        }
        assert [*migrate.earlier({"strategy": {"source": "other"}})] == []

    def test_changes_follow_each_other(self, monkeypatch):
        """What was changed twice, and what was changed once, were there together for a while."""
        changes = ({"a3": "a2"}, {"a2": "a1", "b2": "b1"})
        monkeypatch.setattr(migrate, "SAME_NUMBERS", changes)
        before = [*migrate.earlier({"strategy": "b2", "backbone": "a3"})]
        assert before == [
            {"strategy": "b2", "backbone": "a2"},
            {"strategy": "b1", "backbone": "a1"},
        ]

    @pytest.fixture
    def cell(self):
        meaning = {"strategy": {"source": next(iter(migrate.SAME_NUMBERS[0]))}, "seed": 0}
        given = {name: RECORD_1[name] for name in Coordinates.model_fields if name in RECORD_1}
        return Known(**given | {"cell": keys.key(meaning)}, meaning=meaning)

    @pytest.fixture
    def store(self, tmp_path, cell):
        """A folder in which the cell was finished under its earlier key."""
        store = Store(tmp_path)
        record = Record.model_validate(RECORD_1 | {"schema_version": SCHEMA_VERSION})
        store.write_record(record.model_copy(update={"cell": cell.earlier[0]}))
        store.write_predictions(cell.earlier[0], {"logits": np.zeros((2, 3))})
        return store

    def test_what_they_finished_counts_as_done(self, store, cell):
        record, doubt = store.judged(cell)
        assert doubt is None
        assert record.metrics == {"accuracy": 0.75}

    def test_what_they_finished_gets_the_key_that_it_has_now(self, store, cell):
        assert store.adopt([(cell, cell.meaning)]) == 1
        record = store.record(cell.cell)
        assert (record.metrics, record.meaning) == ({"accuracy": 0.75}, cell.meaning)
        assert (store.directory / f"predictions/{cell.cell}.npz").is_file()
        assert store.adopt([(cell, cell.meaning)]) == 0


class Known(Coordinates):
    """A planned cell."""

    meaning: dict

    @property
    def earlier(self):
        return [*map(keys.key, migrate.earlier(self.meaning))]


@pytest.mark.skipif(not REFERENCE.is_dir(), reason="no checkout")
def test_all_records_of_the_reference_are_read():
    store = Store(REFERENCE)
    planned = store.planned()
    assert len(planned) == len(store.records()) == 250
    assert all(record is not None and record.status == "ok" for _, record in planned)
    assert set(store.frame()["status"]) == {"ok"}


@pytest.mark.skipif(not REFERENCE.is_dir(), reason="no checkout")
def test_finished_cells_stay_finished_in_a_new_format():
    """A cell's key does not hash the version of the files' format."""
    for record in Store(REFERENCE).records():
        assert record.meaning["schema"] == keys.MEANING_VERSION
        assert keys.key(record.meaning) == record.cell


def test_what_is_written_says_which_version_it_is(tmp_path):
    record = Record.model_validate(RECORD_1 | {"schema_version": SCHEMA_VERSION})
    path = Store(tmp_path).write_record(record)
    assert json.loads(path.read_text())["schema_version"] == SCHEMA_VERSION
