"""``harness why``: what a cell depends on that has changed."""

import json
from pathlib import Path

import pytest

from harness.record.store import Store


@pytest.fixture
def key(results):
    """The key of the first cell."""
    return json.loads((results / "plan.json").read_text())["cells"][0]["cell"]


def test_a_cell_that_is_done_has_not_to_run(harness, key):
    ended = harness("why", key)
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.splitlines() == [
        f"{key}  linear_probe on digits, 2-shot, seed 0 (conv4)",
        "is done (ok): nothing that it depends on has changed",
    ]


@pytest.fixture
def stale(results, key):
    """A record of what the cell is now, computed with two threads where its budget says one."""
    store = Store(results)
    record = store.record(key)
    record.provenance["threads"] = 2
    store.write_record(record)
    return store


WITH_TWO = "was computed with 2 CPU threads, and its budget says 1"


class TestARecordOfAnotherNumberOfThreads:
    def test_is_no_reason_for_a_cell_not_to_run(self, harness, stale, key):
        assert harness("why", key).out.splitlines()[1:] == [
            f"has to run again: its record {WITH_TWO}"
        ]

    def test_is_told_of_by_a_dry_run_and_computed_anew(self, harness, tiny_suite, stale, key):
        dry = harness("suite", tiny_suite, "--dry-run")
        assert dry.err == f"harness: 1 cell runs again: the record {WITH_TWO}\n"
        assert ", 1 to do" in dry.out
        assert stale.frame().set_index("cell").status[key] == "stale"
        assert harness("suite", tiny_suite).status == 0
        anew = stale.record(key)
        assert (anew.provenance["threads"], anew.attempts) == (1, 1)
        assert set(stale.frame().status) == {"ok"}

    def test_of_a_gpu_is_right(self, harness, stale, key):
        record = stale.record(key)
        record.provenance["device"] = "NVIDIA H200"
        stale.write_record(record)
        assert harness("why", key).out.splitlines()[1].startswith("is done")


def test_the_beginning_of_a_key_will_do(harness, key):
    assert harness("why", key[:8]).out.startswith(key)


def test_a_cell_without_a_record_has_to_run(harness, results, key):
    for record in (results / "records").iterdir():
        record.unlink()
    assert harness("why", key).out.splitlines()[1] == (
        "has to run: there is no record of such a cell yet"
    )


def test_what_has_changed_is_named(harness, results, key):
    store = Store(results)
    record = store.record(key)
    record.cell = "0" * 16
    record.meaning["budget"]["steps"] = 99
    record.meaning["data"] = "0f"
    store.write_record(record)
    (results / "records" / f"{key}.json").unlink()
    data = harness("why", key).out.splitlines()
    assert data[1] == "has to run again, because since the nearest record"
    assert data[2] == "  budget.steps: was 99, is 3"
    assert data[3].startswith("  data (the dataset's data): was 0f, is ")
    assert len(data) == 4
    assert harness("why", "0" * 16).out.splitlines() == data


def test_a_changed_helper_of_a_plugin_reruns_its_cells_and_no_others(
    harness, edited, plugin_file, own_probe, no_report
):
    options = ("--plugin", own_probe("import helper"))
    helper = plugin_file("helper", "x = 1")
    suite = edited('"full_finetune"', '"mine"')

    def todo():
        ended = harness("suite", suite, *options, "--dry-run", "--format", "json")
        cells = json.loads(ended.out)["cells"]
        return {cell["cell"]: cell["title"].split()[0] for cell in cells if not cell["done"]}

    assert sorted(todo().values()) == ["linear_probe"] * 2 + ["mine"] * 2
    assert harness("suite", suite, *options).status == 0
    assert todo() == {}
    helper.write_text("x = 2")
    changed = todo()
    assert list(changed.values()) == ["mine"] * 2
    for key in changed:
        lines = harness("why", key, *options).out.splitlines()
        assert lines[1] == "has to run again, because since the nearest record"
        assert lines[2].startswith(
            "  strategy.source (the strategy plugin's code, with its helpers): was "
        )
        assert len(lines) == 3


def test_the_plugin_files_that_a_suite_was_run_with_are_named(
    harness, edited, own_probe, tmp_path, no_report
):
    """They are not run unasked: a results folder may come from anywhere."""
    file = own_probe()
    assert harness("suite", edited('"full_finetune"', '"mine"'), "--plugin", file).status == 0
    plan = json.loads((tmp_path / "results" / "tiny" / "plan.json").read_text())
    [key] = [c["cell"] for c in plan["cells"] if (c["label"], c["seed"]) == ("mine", 0)]
    ended = harness("why", key)
    folder = Path("results", "tiny")
    assert ended.status == 2
    assert ended.err.startswith(
        f"harness: {folder} was run with --plugin {file}, which is not given here\n"
    )
    assert "unknown strategy 'mine'" in ended.err
    assert "not given here" not in harness("why", key, "--plugin", file).err


def test_an_unknown_cell_is_refused(harness, results):
    ended = harness("why", "nothing")
    assert (ended.status, ended.out) == (2, "")
    assert ended.complaint == (
        "harness: no suite under results has a cell 'nothing'. 'harness suite NAME --dry-run' "
        "prints the cells' keys"
    )


def test_a_beginning_that_several_keys_share_is_refused(harness, results):
    assert "the keys of 4 cells begin with ''. Give more of it" in harness("why", "").complaint


def test_another_suite_that_cannot_be_planned_is_in_nobodys_way(harness, results, key):
    other = results.parent / "another"
    other.mkdir()
    plan = json.loads((results / "plan.json").read_text())
    plan["config"]["problems"][0] = {"dataset": "folder", "args": {"root": "nowhere"}}
    (other / "plan.json").write_text(json.dumps(plan))
    (results.parent / "broken").mkdir()
    (results.parent / "broken" / "plan.json").write_text("{")
    assert harness("why", key).out.startswith(key)
    assert "nowhere" in harness("why", "nothing").err or "broken" in harness("why", "nothing").err


def test_a_built_ins_cell_needs_no_plugin_of_anothers(
    harness, edited, plugin_file, own_probe, no_report, tmp_path
):
    options = ("--plugin", own_probe("import helper"))
    plugin_file("helper", "x = 1")
    assert harness("suite", edited('"full_finetune"', '"mine"'), *options).status == 0
    cells = json.loads((tmp_path / "results" / "tiny" / "plan.json").read_text())["cells"]
    keys = {cell["label"]: cell["cell"] for cell in cells}
    assert "is done (ok)" in harness("why", keys["linear_probe"]).out
    assert "unknown strategy 'mine'" in harness("why", keys["mine"]).err
    assert "is done (ok)" in harness("why", keys["mine"], *options).out
