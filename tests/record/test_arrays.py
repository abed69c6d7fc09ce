"""Arrays are read as they were written, or not at all."""

import os
import zipfile

import numpy as np
import pytest

from harness.record import arrays
from harness.record.arrays import read_arrays
from harness.record.reading import InvalidFile

ONE = np.arange(12, dtype=np.float32).reshape(4, 3)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "abc.npz"
    np.savez_compressed(path, one=ONE, two=np.arange(3))
    return path


def why(path, *names):
    with pytest.raises(InvalidFile) as caught:
        read_arrays(path, *names)
    return str(caught.value)


def test_what_was_written_is_read(file):
    found = read_arrays(file, "one", "two")
    assert found["one"].dtype == np.float32
    assert np.array_equal(found["one"], ONE)
    assert np.array_equal(found["two"], [0, 1, 2])


def test_no_file_is_no_doubt(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_arrays(tmp_path / "nothing.npz", "one")


def test_what_is_missing_is_named(file):
    assert "lacks what it should hold" in why(file, "one", "three")


@pytest.mark.parametrize(
    "damage",
    [lambda content: content[:-40], lambda content: b"", lambda content: b"PK no archive"],
)
def test_what_is_torn_is_not_read(file, damage):
    file.write_bytes(damage(file.read_bytes()))
    assert why(file, "one") == "is damaged, or no npz file"


def test_every_byte_is_checked(tmp_path):
    """Stored as they are, flipped bits still make an array: only its checksum tells."""
    path = tmp_path / "abc.npz"
    np.savez(path, one=ONE)
    content = bytearray(path.read_bytes())
    place = content.index(ONE.tobytes())
    for offset in range(len(ONE.tobytes())):
        content[place + offset] ^= 1
        path.write_bytes(content)
        assert why(path, "one") == "is damaged, or no npz file"
        content[place + offset] ^= 1


def test_bytes_after_an_array_are_no_part_of_it(tmp_path):
    np.save(tmp_path / "one.npy", ONE)
    with zipfile.ZipFile(tmp_path / "abc.npz", "w") as archive:
        archive.writestr("one.npy", (tmp_path / "one.npy").read_bytes() + b"more")
    assert why(tmp_path / "abc.npz", "one") == "is damaged, or no npz file"


def test_no_pickle_is_read(tmp_path):
    np.savez(tmp_path / "abc.npz", one=np.array([{}], dtype=object), allow_pickle=True)
    assert why(tmp_path / "abc.npz", "one") == "is damaged, or no npz file"


def test_no_more_is_unpacked_than_memory_holds(file, monkeypatch):
    monkeypatch.setattr(arrays, "LARGEST", 100)
    assert why(file, "one") == "is damaged, or no npz file"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes")
def test_what_has_no_end_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.npz")
    (tmp_path / "folder.npz").mkdir()
    assert why(tmp_path / "pipe.npz", "one") == "can't be read: it is no file"
    assert why(tmp_path / "folder.npz", "one") == "can't be read: it is no file"
