"""``harness bundle``: a results folder in one file, always the same."""

import importlib.metadata
import os
import shutil
import zipfile

import pytest
from packaging.requirements import Requirement

from harness.record.store import Store


@pytest.fixture
def packed(harness, results, tmp_path):
    """The archive of a results folder with a report."""
    (results / "report/plots").mkdir(parents=True)
    (results / "report/index.html").write_text("a report")
    (results / "report/plots/one.svg").write_text("a plot")
    (results / "report/.index.html.0123abcd.tmp").write_text("half of a report")
    ended = harness("bundle", results)
    assert (ended.status, ended.out) == (0, "tiny.zip\n"), ended.err
    assert ended.complaint.startswith("harness: 4 of 4 cells have ended: ")
    return tmp_path / "tiny.zip"


def test_all_that_tells_of_the_results_is_in_it_as_it_is(packed, results):
    with zipfile.ZipFile(packed) as archive:
        found = {name.removeprefix("tiny/"): archive.read(name) for name in archive.namelist()}
    assert found.pop("environment.txt")
    kinds = ("records", "predictions", "splits", "logs")
    names = ["plan.json", "report/index.html", "report/plots/one.svg"]
    names += [f"{kind}/{path.name}" for kind in kinds for path in (results / kind).glob("*")]
    assert found == {name: (results / name).read_bytes() for name in names}
    assert len([name for name in names if name.startswith("records/")]) == 4


def test_the_same_results_give_the_same_bytes(harness, packed, results, tmp_path):
    shutil.copytree(results, tmp_path / "elsewhere")
    for path in (tmp_path / "elsewhere").rglob("*"):
        os.utime(path, (10**9, 10**9))
    assert harness("bundle", "elsewhere", "--to", "again.zip").status == 0
    assert (tmp_path / "again.zip").read_bytes() == packed.read_bytes()


def test_the_environment_is_one_that_pip_could_install(packed):
    with zipfile.ZipFile(packed) as archive:
        first, *pins = archive.read("tiny/environment.txt").decode().splitlines()
    assert first.startswith("# Python 3.")
    required = {pin.name: str(pin.specifier) for pin in map(Requirement, pins)}
    for name in ("torch", "numpy", "pandas"):
        assert required[name] == f"=={importlib.metadata.version(name)}"


def test_records_of_other_plans_stay_out(harness, results, tmp_path):
    store = Store(results)
    plan = store.plan()
    store.write_plan(plan.model_copy(update={"cells": plan.cells[:1]}))
    ended = harness("bundle", results, "--to", "one.zip")
    assert "1 of 1 cells have ended, without a report" in ended.complaint
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        (name,) = [name for name in archive.namelist() if "/records/" in name]
    assert name == f"tiny/records/{plan.cells[0].cell}.json"


@pytest.mark.parametrize(
    ("to", "said"),
    [
        ("tiny.zip", "tiny.zip is there already. Give a file that is not: --to FILE.zip"),
        ("tiny.tar", "--to tiny.tar: a bundle is a zip archive. Say --to tiny.tar.zip"),
    ],
)
def test_where_it_goes_is_new_and_a_zip_file(harness, packed, results, to, said):
    ended = harness("bundle", results, "--to", to)
    assert ended.status == 2
    assert said in ended.complaint
