"""What is known of image files is found out once for each content."""

import hashlib
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.data.images import Facts
from harness.data.inspection import ENTRY, inspect, listed


@pytest.fixture
def memory(tmp_path, monkeypatch):
    """The file in which findings are remembered, once there are any."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))

    return lambda: next(
        path for path in (tmp_path / "cache/images").iterdir() if path.suffix != ".lock"
    )


def photographs(folder, *widths):
    folder.mkdir(exist_ok=True)
    for width in widths:
        Image.new("L", (width, 2)).save(folder / f"{width}.png")
    return [folder / f"{width}.png" for width in widths]


def seen(paths):
    digests = [
        hashlib.sha256(path.read_bytes()).digest() if path.exists() else b"" for path in paths
    ]
    return inspect(paths, digests)


def test_files_are_known_by_content_and_new_ones_are_added(tmp_path, memory):
    assert seen(photographs(tmp_path / "a", 3, 4)) == [Facts(2, 3, 1), Facts(2, 4, 1)]
    first = memory().read_bytes()
    assert len(first) == 2 * ENTRY.size
    moved = photographs(tmp_path / "b", 4, 3, 5)
    assert seen(moved) == [Facts(2, 4, 1), Facts(2, 3, 1), Facts(2, 5, 1)]
    assert memory().read_bytes()[: len(first)] == first
    assert len(memory().read_bytes()) == 3 * ENTRY.size


def test_what_is_remembered_is_not_decoded_again(tmp_path, memory):
    """Shown by a memory that says something else than the file does."""
    paths = photographs(tmp_path / "a", 3)
    digest = hashlib.sha256(paths[0].read_bytes()).digest()
    seen(photographs(tmp_path / "b", 7))
    other = memory().read_bytes()
    entry = digest + other[32:-4]
    memory().write_bytes(entry + zlib.crc32(entry).to_bytes(4, "little"))
    assert seen(paths) == [Facts(2, 7, 1)]


@pytest.mark.parametrize("harm", ["flip", "tear", "empty"])
def test_a_damaged_memory_is_made_anew(tmp_path, memory, harm):
    paths = photographs(tmp_path / "a", 3, 4)
    seen(paths)
    content = bytearray(memory().read_bytes())
    if harm == "flip":
        content[34] ^= 1
    memory().write_bytes(content[:-5] if harm == "tear" else b"" if harm == "empty" else content)
    assert seen(paths) == [Facts(2, 3, 1), Facts(2, 4, 1)]
    assert len(memory().read_bytes()) % ENTRY.size == 0
    assert seen(paths) == [Facts(2, 3, 1), Facts(2, 4, 1)]


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "file"))
    assert seen(photographs(tmp_path / "a", 3)) == [Facts(2, 3, 1)]


def test_a_torn_photograph_a_missing_one_and_a_folder_have_their_reasons(tmp_path, memory):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "torn.jpg")
    whole = (tmp_path / "torn.jpg").read_bytes()
    (tmp_path / "torn.jpg").write_bytes(whole[: len(whole) // 2])
    names = ("torn.jpg", "gone.jpg", "lost.jpg")
    torn, gone, lost = seen([tmp_path / name for name in names])
    assert "truncated" in torn
    assert gone == lost == "No such file or directory"


def test_a_long_list_goes_to_a_file(tmp_path, memory):
    bad = {tmp_path / f"{number}.png": "torn" for number in range(12)}
    assert listed({tmp_path / "1.png": "torn"}, tmp_path) == "1.png (torn)"
    told = listed(bad, tmp_path)
    assert told.startswith("0.png (torn); 1.png (torn); ")
    shown, _, place = told.rpartition("; and 2 more, all of them in ")
    assert shown.endswith("9.png (torn)")
    assert Path(place).read_text().splitlines() == [f"{n}.png (torn)" for n in range(12)]
