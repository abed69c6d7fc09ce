"""Write files whole or not at all, so that they outlive a power cut; read regular ones."""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from harness.errors import HarnessError

LEFTOVER = re.compile(r"\..+\.[a-z0-9_]{8}\.tmp")
"""The names of files that are still being written, or that a killed process left."""

HOUR = 3600.0

AGAIN = "and run the same command again: finished cells are kept"

REMEDIES = {
    errno.ENOSPC: "Free some space " + AGAIN,
    errno.EDQUOT: "Free some of your quota " + AGAIN,
    errno.EFBIG: "Raise the limit on the size of files (ulimit -f) " + AGAIN,
    errno.EROFS: "Make that file system writable, or choose another folder",
    errno.EACCES: "Give yourself the right to write there, or choose another folder",
    errno.EPERM: "Give yourself the right to write there, or choose another folder",
    errno.ENOTDIR: "A file is where a folder should be: move it away, or choose another folder",
    errno.EEXIST: "A file is where a folder should be: move it away, or choose another folder",
    errno.EISDIR: "A folder is where that file should be: move it away, or choose another folder",
    errno.EMFILE: "Raise the limit on open files (ulimit -n), or run fewer --jobs",
    errno.ENFILE: "Wait until other programs have closed files " + AGAIN,
    errno.EIO: "Look after that disk " + AGAIN,
}
"""What helps, by what the operating system complains of."""


class CannotWrite(HarnessError):
    """A file can't be written: the fault of the machine or of the folder, and of no cell."""


def write_atomically(path: Path, content: bytes) -> None:
    """Write ``content`` so that a reader, or a crash, sees the old file or the new one, whole.

    When this returns, the file is on the disk, and so is its name.

    Raises:
        CannotWrite: it can't be; what was there before still is.
    """
    with _blamed(f"cannot write {path}"):
        _make_folder(path.parent)
        _replace(path, content)


def make_folder(folder: Path) -> None:
    """Make a folder and its parents, where they are not there yet.

    Raises:
        CannotWrite: they can't be made.
    """
    with _blamed(f"cannot make the folder {folder}"):
        _make_folder(folder)


def move(path: Path, target: Path) -> None:
    """Move a file or a folder to where nothing is.

    Raises:
        CannotWrite: it can't be moved, and is still where it was.
    """
    with _blamed(f"cannot move {path} to {target}"):
        _make_folder(target.parent)
        os.rename(path, target)
        _sync_folder(target.parent)
        _sync_folder(path.parent)


@contextmanager
def _blamed(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CannotWrite(f"{what}: {reason(error)}", remedy(error)) from error


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    file = temporary.open("xb")
    try:
        with file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def remove_leftovers(folder: Path, age: float = HOUR) -> list[Path]:
    """Delete what killed processes had begun to write anywhere in a folder; tell what it was.

    Files younger than ``age`` seconds are left alone: others may be writing them.
    """
    latest, removed = time.time() - age, []
    for place, _, names in os.walk(folder):
        for path in (Path(place, name) for name in names if LEFTOVER.fullmatch(name)):
            with suppress(OSError):  # it is gone, or not ours to delete
                if path.lstat().st_mtime < latest:
                    path.unlink()
                    removed.append(path)
    return removed


def read_file(path: Path, most: int) -> bytes:
    """The bytes of a regular file: a device or a pipe may have no end.

    Raises:
        OSError: there is none, or it can't be read, or has more than ``most`` bytes.
    """
    found = path.stat()
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder", str(path))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is no file", str(path))
    if found.st_size > most:
        raise OSError(errno.EFBIG, f"it has {found.st_size:,} bytes", str(path))
    return path.read_bytes()


def reason(error: OSError) -> str:
    """What the operating system says, without numbers and names."""
    return error.strerror or " ".join(str(error).split()) or type(error).__name__


def remedy(error: OSError) -> str:
    """What helps against it, or nothing."""
    return REMEDIES.get(error.errno or 0, "")


def _make_folder(folder: Path) -> None:
    """As ``make_folder``; the new names are on the disk afterwards."""
    if folder.is_dir():
        return
    missing = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for made in missing:
        _sync_folder(made.parent)


def _sync_folder(folder: Path) -> None:
    """Let the names in a folder reach the disk, where the platform and the file system can."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
