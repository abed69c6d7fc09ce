"""Read records and plans of the results folder, and refuse files that are not valid.

A file may be torn, edited, someone else's, or written by a version that is still to come: whoever
reads it is told so, and gets nothing of it.
"""

from __future__ import annotations

import errno
import json
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.hashing import canonical, sha256
from harness.record import migrate
from harness.record.files import read_file, reason
from harness.record.schema import SCHEMA_VERSION, Plan, Record

LARGEST = 2**26
"""Bytes of a record or a plan that are read: no cell writes that much, and memory is finite."""

NO_FILE = {errno.EISDIR, errno.EINVAL, errno.EFBIG, errno.ELOOP}
"""Errors that tell of what is there; any other is a trouble in getting at it."""


class InvalidFile(Exception):
    """A file is not valid: says why, as the rest of a sentence that begins with the file."""

    remedy = "Run the suite again: finished cells are kept"
    status = "damaged"
    """Of a planned cell whose record can't be believed."""


class Newer(InvalidFile):
    """It may well be right, but only a newer harness could tell."""

    remedy = "Use that version, or another folder (--results); nothing here was changed"


class Unreadable(InvalidFile):
    """It may well be right, but the machine does not hand it over."""

    remedy = "Make it readable, or choose another folder (--results); nothing here was changed"


class Stale(InvalidFile):
    """It is right, and not what a run would give now."""

    status = "stale"


def require_threads(record: Record) -> None:
    """
    Raises:
        Stale: it was computed on the CPU with another number of threads than its budget says.
    """
    threads, told = record.meaning.get("budget", {}).get("threads", 1), record.provenance
    if told.get("device") == "cpu" and told.get("threads", threads) != threads:
        raise Stale(
            f"was computed with {told['threads']} CPU threads, and its budget says {threads}"
        )


def record(path: Path, cell: str) -> Record:
    """The record of a cell.

    Raises:
        FileNotFoundError, NotADirectoryError: there is none.
        InvalidFile: there is one, and it is not to be believed.
    """
    content = _content(path)
    _verify(content)
    try:
        found = Record.model_validate(migrate.migrated(content, migrate.RECORD))
    except ValidationError as error:
        raise InvalidFile(f"is not a valid one: {_first(error)}") from None
    if found.cell != cell:
        raise InvalidFile(f"is that of another cell, {reprlib.repr(found.cell)}")
    return found


def plan(path: Path) -> Plan:
    """A suite's plan; the first version had no checksum.

    Raises:
        FileNotFoundError, NotADirectoryError: there is none.
        InvalidFile: there is one, and it is not to be believed.
    """
    content = _content(path)
    if content["schema_version"] > 1:
        _verify(content)
    else:
        _require_text(content)
    try:
        return Plan.model_validate(migrate.migrated(content, migrate.PLAN))
    except ValidationError as error:
        raise InvalidFile(f"is not a valid one: {_first(error)}") from None


def checksum(content: Mapping[str, Any]) -> str:
    """SHA-256 of a file's JSON without its checksum: it tells an edited file from the one that was
    written. It is no signature."""
    return sha256(canonical(content))


def _content(path: Path) -> dict[str, Any]:
    """The JSON of a file whose version is known."""
    try:
        content = json.loads(read_file(path, LARGEST))
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        kind = InvalidFile if error.errno in NO_FILE else Unreadable
        raise kind(f"can't be read: {reason(error)}") from error
    except (ValueError, RecursionError):
        raise InvalidFile("can't be read: it is torn, or no JSON") from None
    if not isinstance(content, dict):
        raise InvalidFile("is none")
    version = content.get("schema_version")
    if type(version) is not int or version < 1:
        raise InvalidFile("is none: it does not say of which version it is")
    if version > SCHEMA_VERSION:
        raise Newer(
            f"was written by a newer version of the harness ({reprlib.repr(version)}; this one "
            f"reads up to {SCHEMA_VERSION})"
        )
    return content


def _require_text(content: dict[str, Any]) -> None:
    """See that a file without a checksum has no half of a character in it, which no table takes."""
    try:
        json.dumps(content, ensure_ascii=False).encode()
    except (UnicodeEncodeError, RecursionError):
        raise InvalidFile("is not a valid one: it has what is no text") from None


def _verify(content: dict[str, Any]) -> None:
    """Take the checksum out of a file's JSON, and see that it is right."""
    try:
        right = content.pop("checksum", None) == checksum(content)
    except (ValueError, RecursionError):  # tables in tables without end
        right = False
    if not right:
        raise InvalidFile("was changed after it was written")


def _first(error: ValidationError) -> str:
    said = str(error.errors(include_url=False, include_input=False)[0]["msg"])
    return said.removeprefix("Value error, ")
