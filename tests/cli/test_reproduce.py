"""``harness reproduce``: what a bundle holds is run again, and compared cell by cell."""

import json
import zipfile

import pytest

from harness.record.store import Store


def repacked(path, name, change):
    """Changes one file of an archive."""
    with zipfile.ZipFile(path) as archive:
        contents = {each: archive.read(each) for each in archive.namelist()}
    contents[name] = change(contents[name].decode()).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for each, content in contents.items():
            archive.writestr(each, content)


def test_each_cell_tells_how_far_it_agrees(harness, results):
    """Of four cells one is left as it was run, and three are bundled with something else."""
    store = Store(results)
    as_it_was, rounded, other, failed = store.records()
    rounded.metrics["log_loss"] += 1e-7
    other.metrics["accuracy"] += 0.25 if other.metrics["accuracy"] < 0.5 else -0.25
    failed.status, failed.metrics, failed.reason = "oom", {}, "no room"
    for record in (rounded, other, failed):
        store.write_record(record)
    assert harness("bundle", results, "--to", "changed.zip").status == 0

    ended = harness("reproduce", "changed.zip", "--format", "json")
    assert ended.status == 1, ended.err
    assert "1 equal" in ended.err.splitlines()[-1]
    found = {row["cell"]: row for row in json.loads(ended.out)}
    assert found[as_it_was.cell]["verdict"] == "equal"
    assert found[rounded.cell]["verdict"] == "close"
    assert found[rounded.cell]["measure"] == "log_loss"
    assert found[rounded.cell]["difference"] == pytest.approx(1e-7, rel=1e-3)
    assert found[other.cell]["verdict"] == "differs"
    assert found[other.cell]["measure"] == "accuracy"
    assert found[other.cell]["difference"] == pytest.approx(0.25)
    assert found[failed.cell]["verdict"] == "differs"
    assert found[failed.cell]["why"] == "oom there, ok here"

    again = harness("reproduce", "changed.zip")
    assert "4 done before, 0 to do" in again.err
    rows = [" ".join(line.split()) for line in again.out.splitlines()]
    assert {*rows} == {
        f"equal {as_it_was.title}",
        f"close 1e-07 in log_loss {rounded.title}",
        f"differs 0.25 in accuracy {other.title}",
        f"differs status {failed.title}: oom there, ok here",
    }


def test_a_sample_is_enough_and_other_versions_are_told(harness, results, tmp_path):
    assert harness("bundle", results).status == 0

    def older(text):
        return text.replace("torch==", "torch==0.0+", 1) + "not-here==1.0\n"

    repacked(tmp_path / "tiny.zip", "tiny/environment.txt", older)
    ended = harness("reproduce", "tiny.zip", "--only", "1", "--to", "mine")
    assert ended.status == 0, ended.err
    assert len(ended.out.splitlines()) == 1
    assert ended.out.startswith("equal ")
    told = next(line for line in ended.err.splitlines() if "versions differ" in line)
    assert "torch was 0.0+" in told
    assert "not-here was 1.0, is not installed" in told
    assert [record.status for record in Store(tmp_path / "mine").records()] == ["ok"]
    assert len(Store(tmp_path / "mine").plan().cells) == 1


def test_what_was_not_made_for_it_is_not_taken_for_reproduced(harness, results, tmp_path):
    assert harness("bundle", results).status == 0
    ended = harness("reproduce", "tiny.zip", "--to", results)
    assert ended.status == 2
    assert f"{results} is there already" in ended.complaint


def test_what_is_no_bundle_is_one_line(harness, results, tmp_path):
    ended = harness("reproduce", "tiny.zip")
    assert ended.status == 2
    assert "there is no bundle " in ended.complaint
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr("../plan.json", "{}")
    ended = harness("reproduce", "evil.zip")
    assert ended.status == 2
    assert "leads out of the folder" in ended.complaint
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("readme.txt", "hello")
    assert "holds no results" in harness("reproduce", "other.zip").complaint
