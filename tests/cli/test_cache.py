"""``harness cache``: what is kept for further runs, and its end."""

import json
import os
import time

import pytest


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """An old archive and a fresh feature."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "own"))
    old, fresh = tmp_path / "own/archives/aa/1.png", tmp_path / "results/.cache/features/k/a.bin"
    for path in (old, fresh):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x" * 1500)
    os.utime(old, (time.time() - 40 * 86400,) * 2)
    return old, fresh


def test_what_is_kept_is_listed_by_place_and_kind(harness, kept, tmp_path):
    ended = harness("cache", "list")
    assert ended.status == 0
    first, features, second, archives, total = ended.out.splitlines()
    assert (first, second) == ("results/.cache:", f"{tmp_path}/own:")
    assert features.split()[:5] == ["features", "1", "entry", "1.5", "kB"]
    assert archives.split() == "archives 1 entry 1.5 kB used 40 d to 40 d ago".split()
    assert total == "3 kB in all"


def test_a_script_gets_bytes_and_days(harness, kept):
    features, archives = json.loads(harness("cache", "list", "--format", "json").out)
    assert (features["kind"], features["entries"], features["bytes"]) == ("features", 1, 1500)
    assert archives["oldest_days"] == pytest.approx(40, abs=0.1)


def test_nothing_is_kept_at_first(harness, tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "own"))
    assert harness("cache", "list").out == "nothing is kept\n"
    assert harness("cache", "prune", "--yes").out == "nothing is kept\n"


def test_what_is_old_is_removed(harness, kept):
    old, fresh = kept
    ended = harness("cache", "prune", "--older-than", "30", "--yes")
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.splitlines()[-1] == "1.5 kB in all"
    assert not old.exists()
    assert fresh.exists()


@pytest.mark.parametrize(("answer", "there"), [("y", False), ("n", True)])
def test_it_is_asked_first(harness, kept, monkeypatch, answer, there):
    read, write = os.pipe()
    os.write(write, f"{answer}\n".encode())
    os.close(write)
    with os.fdopen(read) as answers:
        monkeypatch.setattr("sys.stdin", answers)
        ended = harness("cache", "prune")
    assert ended.status == 0
    assert "Remove all of this? [y/N]" in ended.err
    assert [path.exists() for path in kept] == [there, there]


def test_where_nobody_answers_nothing_is_removed(harness, kept, monkeypatch):
    with open(os.devnull) as nobody:
        monkeypatch.setattr("sys.stdin", nobody)
        ended = harness("cache", "prune")
    assert ended.status == 2
    assert "nothing was removed. Add --yes where nobody can answer" in ended.err
    assert all(path.exists() for path in kept)
