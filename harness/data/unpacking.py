"""What is in an archive, written to a folder.

An archive may come from anywhere, so nothing of it is believed: no name leads out of the folder
or to a file that is there already, links are refused, and bytes are counted as they are written.
Content is checked against the archive's own checksums. A plain tar has them for its headers only;
that it ends where it says is checked too.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import re
import stat
import tarfile
import tempfile
import unicodedata
import zipfile
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any, TypeAlias, TypeVar, cast

from harness.errors import HarnessError

T = TypeVar("T")

Member: TypeAlias = "tuple[str, Callable[[], IO[bytes]] | None]"
"""A name in an archive, and what opens its content: nothing does where it is a folder."""

COMPRESSED: dict[str, Callable[[IO[bytes]], Any]] = {
    ".tar.gz": lambda file: gzip.GzipFile(fileobj=file),
    ".tgz": lambda file: gzip.GzipFile(fileobj=file),
    ".tar.bz2": bz2.BZ2File,
    ".tar.xz": lzma.LZMAFile,
}

ARCHIVES = (".zip", ".tar", *COMPRESSED)

CHUNK = 2**16
"""Bytes that are read at a time, at most."""

BY_HAND = "If you trust it, unpack it and give the folder"


@dataclass(frozen=True)
class ArchiveLimits:
    """What an archive may become: ``total`` bytes, ``members`` (files and folders), and ``ratio``
    times its own size where that is more than ``small`` bytes.

    Photographs hardly shrink, bilevel drawings fifty times; deflated bombs a thousand times.
    """

    total: int = 500 * 2**30
    members: int = 10_000_000
    ratio: int = 200
    small: int = 64 * 2**20


LIMITS = ArchiveLimits()


class Meter:
    """Counts what an archive becomes, and stops it at its limits."""

    def __init__(self, archive: Path, limits: ArchiveLimits) -> None:
        self.archive = archive
        self._members, self._most_members = 0, limits.members
        self._most = min(limits.total, max(limits.small, limits.ratio * archive.stat().st_size))
        self._bytes = 0

    def copy(self, source: IO[bytes], target: IO[bytes]) -> None:
        while chunk := source.read(CHUNK):
            self._bytes += len(chunk)
            if self._bytes > self._most:
                raise HarnessError(
                    f"{self.archive} would become more than {self._most:,} bytes", BY_HAND
                )
            target.write(chunk)

    def member(self) -> None:
        self._members += 1
        if self._members > self._most_members:
            raise HarnessError(
                f"{self.archive} holds more than {self._most_members:,} files and folders", BY_HAND
            )

    def again(self) -> None:
        """Start to count bytes from nothing."""
        self._bytes = 0


def write(members: Iterable[Member], folder: Path, meter: Meter) -> None:
    """Write all members beneath an empty folder.

    Whether two names are one is for the file system to say, which may know no case, or but one
    way to write an accent: what has a new spelling has to be a new file or folder.
    """
    made = {PurePosixPath()}
    for name, opened in members:
        meter.member()
        path = _path(name, meter.archive)
        for above in [*reversed(path.parents), *([] if opened else [path])]:
            if above not in made:
                meter.member()
                _new((folder / above).mkdir, name, meter.archive)
                made.add(above)
        if opened:
            create = partial((folder / path).open, "xb")
            with opened() as source, _new(create, name, meter.archive) as target:
                meter.copy(source, cast("IO[bytes]", target))


def _path(name: str, archive: Path) -> PurePosixPath:
    """A member's name as a path within the folder.

    Raises:
        HarnessError: it is no such path, or it is none on another system.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or re.match("[A-Za-z]:", name):
        raise HarnessError(
            f"the name {name[:100]!r} in {archive} leads out of the folder", "Don't trust it"
        )
    if (
        "\\" in name
        or len(name) > 2000
        or any(unicodedata.category(sign) in ("Cc", "Cs") for sign in name)
        or any(len(part.encode()) > 255 for part in path.parts)
    ):
        raise HarnessError(
            f"the name {name[:100]!r} in {archive} is none that every system can write",
            "Pack it again with other names",
        )
    return path


def _new(make: Callable[[], T], name: str, archive: Path) -> T:
    try:
        return make()
    except (FileExistsError, NotADirectoryError):
        raise HarnessError(
            f"{archive} holds {name[:100]!r} twice, or two names that are one here",
            "Pack it again with other names",
        ) from None


# ── formats ───────────────────────────────────────────────────────────────────────────────────


def members(file: IO[bytes], meter: Meter, scratch: Path) -> Generator[Member]:
    """Everything in the archive, one by one; the content of each is read before the next is had.

    ``scratch`` is a folder for what has to lie on the disk meanwhile.
    """
    file.seek(0)
    name = meter.archive.name.lower()
    if name.endswith(".zip"):
        yield from _zip(file, meter.archive)
        return
    for suffix, decompressed in COMPRESSED.items():
        if name.endswith(suffix):
            with tempfile.TemporaryFile(dir=scratch) as plain:
                # The whole of it first: the checksum of a compressed stream is at its end.
                with decompressed(file) as source:
                    meter.copy(source, plain)
                meter.again()
                plain.seek(0)
                yield from _tar(plain, meter.archive)
            return
    yield from _tar(file, meter.archive)


def _zip(file: IO[bytes], archive: Path) -> Generator[Member]:
    with zipfile.ZipFile(file) as opened:
        if len(opened.infolist()) != (count := _entries(file, opened.comment)):
            raise zipfile.BadZipFile(f"its directory names {len(opened.infolist())} of {count}")
        for info in opened.infolist():
            if info.flag_bits & 1:
                raise HarnessError(f"{archive} is encrypted", "Unpack it and give the folder")
            # Other methods are decompressed block by block, and a block may become gigabytes.
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise HarnessError(
                    f"{archive} is compressed by other means than deflate",
                    "Unpack it and give the folder",
                )
            if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _odd(info.filename, archive)
            # The name as it is stored: zipfile's own ends at a NUL.
            yield info.orig_filename, None if info.is_dir() else partial(opened.open, info)


def _entries(file: IO[bytes], comment: bytes) -> int:
    """How many entries a zip says its directory has; zipfile reads on until that seems to end."""
    file.seek(-22 - len(comment), os.SEEK_END)
    count = int.from_bytes(file.read(22)[10:12], "little")
    if count < 2**16 - 1:
        return count
    file.seek(-22 - len(comment) - 20 - 56, os.SEEK_END)  # zip64's record and what points to it
    record = file.read(56)
    return int.from_bytes(record[32:40], "little") if record[:4] == b"PK\6\6" else count


def _tar(file: IO[bytes], archive: Path) -> Generator[Member]:
    sober: Any = _Sober(file)
    opened: Any  # its public list of members is in no stub
    with tarfile.open(fileobj=sober, mode="r:", encoding="utf-8") as opened:
        while info := opened.next():
            opened.members.clear()  # or all of them would stay in memory
            if info.size < 0:
                raise tarfile.ReadError("a size below zero")
            if info.isdir():
                yield info.name, None
            elif info.isreg() and not info.issparse():
                yield info.name, partial(opened.extractfile, info)
            else:
                raise _odd(info.name, archive)
        # tarfile takes a damaged header for the end.
        file.seek(opened.offset)
        end = file.read(tarfile.BLOCKSIZE)
        if len(end) < tarfile.BLOCKSIZE:
            raise tarfile.ReadError("its end is missing")
        while end:
            if any(end):
                raise tarfile.ReadError(f"no header at byte {opened.offset}, and not the end")
            end = file.read(CHUNK)


class _Sober:
    """A file that does not read whatever a damaged header asks for into memory at once."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int) -> bytes:
        if not 0 <= size <= CHUNK:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return self._file.read(size)


def _odd(name: str, archive: Path) -> HarnessError:
    return HarnessError(
        f"{name[:100]!r} in {archive} is a link or something else than a file or a folder",
        "Pack it again with 'tar --dereference --hard-dereference'",
    )
