"""``harness doctor``: what is there, what is lacking, and what helps."""

import json
import os
import time
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import torch

from harness import __version__
from harness.registry import Registered
from harness.start import doctor


def told(harness, *words):
    ended = harness("doctor", "--format", "json", *words)
    return ended.status, {(row["topic"], row["name"]): row for row in json.loads(ended.out)}


def test_a_sound_machine_is_told_in_full(harness, tmp_path):
    status, found = told(harness)
    assert status == 0
    assert found["versions", "harness"]["seen"] == __version__
    assert torch.__version__.startswith(found["versions", "torch"]["seen"])
    total = psutil.virtual_memory().total / 1e9
    assert f"of {total:.3g} GB free" in found["machine", "memory"]["seen"]
    results = f"results: {tmp_path}/results"
    assert found[results, "writable"]["state"] == found[results, "locks"]["state"] == "ok"
    assert all(row["remedy"] for row in found.values() if row["state"] != "ok")
    assert [*tmp_path.iterdir()] == []


def test_people_get_a_line_a_finding(harness):
    ended = harness("doctor")
    assert ended.status == 0
    assert ["ok", "harness", __version__] in [line.split() for line in ended.out.splitlines()]
    assert ended.out.splitlines()[-1] == "nothing wrong"


def test_what_an_extra_lacks_is_missing_and_comes_with_the_command(registry, monkeypatch):
    cls = type("Needy", (), {"requires": {"nowhere_to_be_found": "some[extra]"}})
    plugin = Registered("strategy", "needy", cls, "file", doctor.Path(__file__))
    monkeypatch.setitem(registry.plugins, ("strategy", "needy"), plugin)
    (row,) = [finding for finding in doctor.extras(registry) if finding.name == "some[extra]"]
    assert (row.state, row.seen, row.remedy) == (
        "missing",
        "for needy",
        "pip install 'some[extra]'",
    )


def test_a_plugin_that_is_broken_is_wrong(harness, plugin_file):
    file = plugin_file("mine", "import nowhere_to_be_found")
    status, found = told(harness, "--plugin", file)
    assert status == 1
    assert "No module named 'nowhere_to_be_found'" in found["extras", "plugins"]["seen"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_wrong(tmp_path):
    tmp_path.chmod(0o500)
    _, row = doctor.folder_findings("results", tmp_path / "results")
    assert (row.name, row.state) == ("writable", "wrong")
    assert row.remedy == "Give yourself the right to write there, or choose another folder"


@contextmanager
def nobody_refuses(directory, cell):
    yield True


def test_locks_that_do_not_lock_are_wrong(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "locked", nobody_refuses)
    found = doctor.locks("results", tmp_path)
    assert (found.state, found.seen) == ("wrong", "two processes have the same lock")


def test_a_process_that_cannot_lock_is_wrong(tmp_path):
    (tmp_path / "locks").write_text("a file in the place of the folder")
    found = doctor.locks("results", tmp_path)
    assert found.state == "wrong"
    assert "File exists" in found.seen


def test_a_full_disk_and_little_memory_are_told(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor, "NO_DISK", 1e30)
    disk, *_ = doctor.folder_findings("results", tmp_path)
    assert (disk.state, disk.remedy) == ("wrong", "Free some, or 'harness cache prune'")
    monkeypatch.setattr(doctor, "LITTLE_MEMORY", 1e30)
    (memory,) = [finding for finding in doctor.machine() if finding.name == "memory"]
    assert memory.state == "warning"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_gpu_multiplies():
    (gpu, *_) = [finding for finding in doctor.devices() if finding.name == "cuda:0"]
    assert gpu.state == "ok"
    assert torch.cuda.get_device_name(0) in gpu.seen


def test_a_gpu_that_pytorch_cannot_use_is_wrong(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(doctor, "_gpus", lambda: 2)
    *_, found = doctor.devices()
    assert (found.state, found.seen[:7]) == ("wrong", "2 GPUs ")


def test_a_file_system_without_locks_is_wrong_and_shards_are_the_remedy(tmp_path, no_locks):
    no_locks(tmp_path)
    found = doctor.locks("results", tmp_path)
    assert (found.state, found.seen) == ("wrong", "nothing can be locked: No locks available")
    assert "--shard 1/n to n/n" in found.remedy


def test_a_file_that_is_replaced_is_seen_whole(tmp_path):
    found = doctor.renames("results", tmp_path)
    assert (found.state, found.remedy) == ("ok", "")


@pytest.mark.parametrize(
    ("replace", "seen"),
    [
        (lambda new, old: (os.unlink(old), time.sleep(0.2), os.rename(new, old)), "not there"),
        (lambda new, old: Path(old).write_text(Path(new).read_text()[:4096]), "seen half written"),
        (lambda new, old: None, "still seen as it was after 0.5 s"),
    ],
    ids=["removed first", "written in place", "not seen"],
)
def test_renames_that_are_none_are_wrong(tmp_path, monkeypatch, replace, seen):
    """A reader in a process of its own finds out what such a file system would do to records."""
    monkeypatch.setattr(doctor, "PATIENCE", 0.5)
    first = []
    monkeypatch.setattr(
        doctor.os,
        "replace",
        lambda new, old, own=os.replace: (
            replace(new, old) if first else first.append(own(new, old))
        ),
    )
    found = doctor.renames("results", tmp_path)
    assert found.state == "wrong"
    assert seen in found.seen
    assert "harness merge" in found.remedy
