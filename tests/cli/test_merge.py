"""``harness merge``: folders of several machines are one, or are refused by name."""

import shutil

import pytest

from harness.record import owners
from harness.record.store import Store

KINDS = ("records", "predictions", "predictors", "misclassified", "splits", "logs", "partial")
"""Folders of what cells leave."""


def files(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for kind in KINDS
        for path in (folder / kind).glob("*")
    }


def forget(folder, cell):
    for path in [path for path in folder.rglob(f"{cell}*") if path.is_file()]:
        path.unlink()


def changed(folder, change):
    """Changes every record of a folder, as another run would have left it."""
    store = Store(folder)
    for record in store.records():
        change(record)
        store.write_record(record)


@pytest.fixture
def halves(results, tmp_path):
    """Two copies of a results folder, each with the cells of one seed alone."""
    folders = []
    for seed, name in enumerate(("here", "there")):
        folder = tmp_path / name / "tiny"
        shutil.copytree(results, folder)
        for cell in Store(folder).plan().cells:
            if cell.seed != seed:
                forget(folder, cell.cell)
        folders.append(folder)
    return folders


def test_two_halves_are_the_whole(harness, results, halves, tmp_path):
    ended = harness("merge", *halves, "--to", "joined/tiny")
    assert (ended.status, ended.out) == (0, "joined/tiny\n"), ended.err
    assert ended.complaint == "harness: 4 of 4 cells have ended"
    joined = tmp_path / "joined/tiny"
    assert files(joined) == files(results)
    plan = Store(results).plan()
    assert plan.command is not None
    assert Store(joined).plan() == plan.model_copy(update={"command": None})  # it was for one half


def test_and_a_suite_goes_on_with_them(harness, halves, tiny_suite, no_report):
    """One cell is done nowhere: it alone is run."""
    forget(halves[1], next(cell.cell for cell in Store(halves[1]).plan().cells if cell.seed))
    assert harness("merge", *halves, "--to", "joined/tiny").status == 0
    ended = harness("suite", tiny_suite, "--results", "joined")
    assert "3 done before, 1 to do" in ended.err


def test_equal_cells_are_taken_once(harness, results, halves, tmp_path):
    assert harness("merge", results, halves[1], "--to", "joined").status == 0
    assert files(tmp_path / "joined") == files(results)


def test_a_suite_may_have_other_seeds_on_another_machine(harness, results, halves, tmp_path):
    for seed, folder in enumerate(halves):
        store = Store(folder)
        plan = store.plan()
        cells = [cell for cell in plan.cells if cell.seed == seed]
        config = {**plan.config, "seeds": [seed], "limits": {"timeout": 1000.0 + seed}}
        store.write_plan(plan.model_copy(update={"config": config, "cells": cells}))
    assert harness("merge", *halves, "--to", "joined").status == 0
    plan, whole = (Store(folder).plan() for folder in (tmp_path / "joined", results))
    assert plan.config["seeds"] == [0, 1]
    assert {cell.cell for cell in plan.cells} == {cell.cell for cell in whole.cells}


def test_what_ended_ok_is_taken_before_what_did_not(harness, results, halves, tmp_path):
    shutil.rmtree(halves[0])
    shutil.copytree(results, halves[0])

    def fail(record):
        record.status, record.reason, record.metrics = "oom", "no room", {}

    changed(halves[0], fail)
    ended = harness("merge", *halves, "--to", "joined")
    assert ended.status == 0
    found = {record.seed: record.status for record in Store(tmp_path / "joined").records()}
    assert found == {0: "oom", 1: "ok"}


def test_what_has_not_ended_comes_with_what_it_has_done(harness, halves, tmp_path):
    cell = next(cell.cell for cell in Store(halves[1]).plan().cells if cell.seed)
    forget(halves[1], cell)
    for ending in (".json", ".safetensors"):
        file = halves[1] / f"partial/{cell}{ending}"
        file.parent.mkdir(exist_ok=True)
        file.write_text("as far as it is")
    assert harness("merge", *halves, "--to", "joined").status == 0
    joined = tmp_path / "joined"
    assert (joined / f"partial/{cell}.safetensors").read_text() == "as far as it is"
    assert not (joined / f"records/{cell}.json").exists()


def test_a_record_that_cannot_be_believed_is_left_out_and_told(harness, halves, tmp_path):
    cell = next(cell for cell in Store(halves[1]).plan().cells if cell.seed)
    file = halves[1] / f"records/{cell.cell}.json"
    file.write_text(file.read_text().replace('"ok"', '"failed"'))
    ended = harness("merge", *halves, "--to", "joined")
    assert ended.status == 0
    told, counted = ended.err.splitlines()
    assert "is left out: its record was changed after it was written" in told
    assert counted == "harness: 3 of 4 cells have ended"
    assert not (tmp_path / f"joined/records/{cell.cell}.json").exists()


# ── what is refused ───────────────────────────────────────────────────────────────────────────


def other_data(record):
    record.meaning["data"] = "another"


def other_budget(record):
    record.meaning["budget"] = {**record.meaning["budget"], "steps": 4}


def other_split(record):
    record.split_hash = "another"


def other_accuracy(record):
    record.metrics["accuracy"] = 0.25


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (other_data, "the data of problem 'digits' is "),
        (other_budget, "the budget is {"),
        (other_split, "the split of problem 'digits' with seed "),
        (other_accuracy, "has other results in "),
    ],
)
def test_what_cannot_be_compared_is_named(harness, results, halves, tmp_path, change, said):
    changed(halves[1], change)
    ended = harness("merge", results, halves[1], "--to", "joined")
    assert ended.status == 2
    assert f"{results} and {halves[1]} can't be merged: " in ended.complaint
    assert said in ended.complaint
    assert not (tmp_path / "joined").exists()


def test_a_cell_that_means_something_else_is_named_with_what_differs(harness, halves, results):
    store = Store(halves[1])
    plan = store.plan()
    cells = [cell.model_copy(update={"cell": f"{cell.cell}0"}) for cell in plan.cells]
    store.write_plan(plan.model_copy(update={"cells": cells}))

    def newer(record):
        store.record_file(record.cell).unlink()
        record.cell += "0"
        record.meaning["harness"] = "9.9"

    changed(halves[1], newer)
    ended = harness("merge", results, halves[1], "--to", "joined")
    assert ended.status == 2
    assert "means something else in" in ended.complaint
    assert "harness: was " in ended.complaint
    assert "is 9.9" in ended.complaint


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"budget": {"trials": 3}}, "their suites differ in budget.trials: was 2, is 3"),
        ({"name": "other"}, "their suites differ in name: was tiny, is other"),
        ({"seeds": [1], "strategies": ["maml"]}, "their suites differ in seeds, strategies"),
    ],
)
def test_suites_that_differ_are_refused(harness, halves, changes, said):
    store = Store(halves[1])
    plan = store.plan()
    config = {**plan.config, **changes}
    if "budget" in changes:
        config["budget"] = {**plan.config["budget"], **changes["budget"]}
    store.write_plan(plan.model_copy(update={"config": config}))
    ended = harness("merge", *halves, "--to", "joined")
    assert ended.status == 2
    assert said in ended.complaint


def test_nobody_may_be_at_work(harness, halves):
    owner = owners.Owner(host="there", pid=1, device="cpu", started=0.0)
    owners.write(halves[1], "abc", owner)
    ended = harness("merge", *halves, "--to", "joined")
    assert ended.status == 2
    assert "somebody is at work on 1 cell, such as abc. Wait until" in ended.complaint


def test_nothing_is_written_over(harness, halves, tmp_path):
    (tmp_path / "joined").mkdir()
    ended = harness("merge", *halves, "--to", "joined")
    assert ended.status == 2
    assert "joined is there already" in ended.complaint


def test_one_folder_is_not_enough_and_none_stands_for_two(harness, halves):
    assert "Name two or more" in harness("merge", halves[0], "--to", "joined").complaint
    twice = harness("merge", halves[0], halves[0], "--to", "joined")
    assert "a folder is named twice" in twice.complaint
