"""Image files decoded once to see that they can be: what was found is remembered by content."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple
from pathlib import Path

import PIL
from filelock import FileLock

from harness.data.archives import cache_folder
from harness.data.images import Facts, examine
from harness.errors import one_line

VERSION = 1
"""Of what is remembered: to be raised when :func:`examine` comes to see something else."""

MOST_LISTED = 10
"""Files that a message names."""

ENTRY = struct.Struct("<32sIIB4?I")
"""SHA-256 of a file, its :class:`Facts`, and a checksum of both."""


def inspect(paths: Sequence[Path], digests: Sequence[bytes]) -> list[Facts | str]:
    """What there is to know of each image file, or why it cannot be decoded.

    Files whose bytes were seen before, wherever they lay, are not decoded again. What can't be
    kept in the cache folder is found out again.

    Args:
        digests: SHA-256 of each file, empty where it cannot be opened.
    """
    contents = [
        digest or os.fsencode(path) for path, digest in zip(paths, digests, strict=True)
    ]  # what can't be opened has no other name than its path
    known = _remembered({*contents})
    fresh = {
        content: path for content, path in zip(contents, paths, strict=True) if content not in known
    }
    with ThreadPoolExecutor(os.cpu_count(), "decoder") as threads:
        found = dict(zip(fresh, threads.map(_examined, fresh.values()), strict=True))
    _remember({digest: facts for digest, facts in found.items() if isinstance(facts, Facts)})
    both: dict[bytes, Facts | str] = {**known, **found}
    return [both[content] for content in contents]


def listed(unreadable: Mapping[Path, str], root: Path = Path()) -> str:
    """The files with the reasons, as ``a.png (reason); b.png (reason)``, by their paths from
    ``root``. What would fill a screen is written to a file, and that is named."""
    lines = [
        f"{path.relative_to(root) if path.is_relative_to(root) else path} ({reason})"
        for path, reason in unreadable.items()
    ]
    if len(lines) <= MOST_LISTED:
        return "; ".join(lines)
    shown = "; ".join(lines[:MOST_LISTED])
    text = "\n".join(lines)
    place = cache_folder() / "unreadable" / f"{zlib.crc32(text.encode(errors='replace')):08x}.txt"
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"{text}\n", encoding="utf-8", errors="replace")
    except OSError:
        return f"{shown}; and {len(lines) - MOST_LISTED} more"
    return f"{shown}; and {len(lines) - MOST_LISTED} more, all of them in {place}"


def _examined(path: Path) -> Facts | str:
    try:
        return examine(path.read_bytes())
    except OSError as error:
        return error.strerror or str(error)
    except Exception as error:  # what a damaged file raises depends on its format
        return str(error) or one_line(error)


def _place() -> Path:
    """One file for each version of Pillow: what one decodes, another may refuse."""
    return cache_folder() / "images" / f"{VERSION}-pillow-{PIL.__version__}"


def _remembered(wanted: set[bytes]) -> dict[bytes, Facts]:
    """What is known of the wanted files; an entry that is damaged is passed over."""
    try:
        content = _place().read_bytes()
    except OSError:
        return {}
    known = {}
    for start in range(0, len(content) - ENTRY.size + 1, ENTRY.size):
        if content[start : start + 32] in wanted:
            entry = content[start : start + ENTRY.size]
            digest, *facts, checksum = ENTRY.unpack(entry)
            if checksum == zlib.crc32(entry[:-4]):
                known[digest] = Facts(*facts)
    return known


def _remember(found: dict[bytes, Facts]) -> None:
    """Add entries to the end of the file, in one piece, and after a whole number of them."""
    if not found:
        return
    place = _place()
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(place.with_name(f"{place.name}.lock")), place.open("ab") as file:
            file.truncate(file.tell() // ENTRY.size * ENTRY.size)  # what a killed writer left
            file.write(b"".join(_entries(found)))
    except OSError:
        return  # a disk that is full or read-only costs time, and no run


def _entries(found: dict[bytes, Facts]) -> Iterable[bytes]:
    for digest, facts in found.items():
        entry = ENTRY.pack(digest, *astuple(facts), 0)
        yield entry[:-4] + zlib.crc32(entry[:-4]).to_bytes(4, "little")
