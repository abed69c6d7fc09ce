"""What caches hold, and what is removed from them."""

import os
import time

import pytest
from filelock import FileLock

from harness.record.caches import caches, entries, remove


@pytest.fixture
def cache(tmp_path):
    """A cache with one entry of each form, each a day older than the one before."""
    files = {
        "archives/aa/tree/x/1.png": 100,
        "archives/aa/sizes.json": 10,
        "archives/aa.lock": 0,
        "features/k1/p.safetensors": 50,
        "features/k1/lock": 0,
        "images/1-pillow-11.0.0": 7,
        "images/1-pillow-11.0.0.lock": 0,
        "weights/w1.safetensors": 30,
        "weights/w1.checkpoint": 5,
        "weights/w1.lock": 0,
        "weights/.w2.safetensors.01234567.tmp": 1000,
        "weights/w3.lock": 0,
        "features/k2/lock": 0,
    }
    for name, size in files.items():
        path = tmp_path / "cache" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * size)
    for days, kind in enumerate(("archives", "features", "images", "weights")):
        for file in (tmp_path / "cache" / kind).rglob("*"):
            os.utime(file, (time.time() - days * 86400,) * 2)
    return tmp_path / "cache"


def test_files_that_belong_together_are_one_entry(cache):
    found = [*entries(cache)]
    assert [(entry.kind, entry.bytes) for entry in found] == [
        ("archives", 110),
        ("features", 50),
        ("images", 7),
        ("weights", 35),
    ]
    ages = [round((time.time() - entry.used) / 86400) for entry in found]
    assert ages == [0, 1, 2, 3]


def test_the_two_caches_are_where_the_harness_keeps_things(tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "own"))
    assert caches(tmp_path / "results") == (tmp_path / "results" / ".cache", tmp_path / "own")


def test_a_cache_that_is_not_there_is_empty(tmp_path):
    assert [*entries(tmp_path / "nowhere")] == []


def test_an_entry_is_removed_whole_and_its_neighbours_stay(cache):
    *_, weights = entries(cache)
    assert remove(weights)
    assert [entry.kind for entry in entries(cache)] == ["archives", "features", "images"]
    assert (cache / "weights/.w2.safetensors.01234567.tmp").exists()


def test_what_a_process_is_making_is_left(cache):
    archives, features, _, weights = entries(cache)
    for entry in (archives, features, weights):
        with FileLock(entry.lock):
            assert not remove(entry)
        assert remove(entry)
    assert [entry.kind for entry in entries(cache)] == ["images"]
