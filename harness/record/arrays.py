"""Arrays in an npz file, every byte of them checked, and never a pickle."""

from __future__ import annotations

import errno
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.record.reading import InvalidFile

LARGEST = 2**32
"""Bytes of one array that are read: no test has that many predictions."""


def read_arrays(path: Path, *names: str) -> dict[str, NDArray[Any]]:
    """The arrays of these names. ``np.load`` would not compare their checksums.

    Raises:
        FileNotFoundError: there is no such file.
        InvalidFile: it is torn, damaged or no npz file, or lacks one of them.
    """
    if path.exists() and not path.is_file():
        raise InvalidFile("can't be read: it is no file")
    try:
        with zipfile.ZipFile(path) as archive:
            return {name: _array(archive, f"{name}.npy") for name in names}
    except OSError as error:
        if error.errno == errno.ENOENT:
            raise
        raise InvalidFile(f"can't be read: {error.strerror or error}") from error
    except KeyError as error:
        raise InvalidFile(f"lacks what it should hold: {error.args[0]}") from None
    except Exception as error:  # zipfile, zlib and NumPy have errors of their own for damage
        raise InvalidFile("is damaged, or no npz file") from error


def _array(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    if archive.getinfo(name).file_size > LARGEST:
        raise ValueError(f"{name} is too large")
    content = io.BytesIO(archive.read(name))  # to its end, where zipfile compares the checksum
    array: NDArray[Any] = np.lib.format.read_array(content, allow_pickle=False)
    if content.read(1):
        raise ValueError(f"{name} goes on after its end")
    return array
