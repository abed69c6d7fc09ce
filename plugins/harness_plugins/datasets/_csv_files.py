"""CSV files whose first row names the columns: their rows, and all that is wrong with them."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.api import HarnessError, Mistakes, abridged, located

LONGEST_FIELD = 2**31 - 1
"""Characters: what fits a C long everywhere. The csv module's own limit is an essay's length."""

SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab"}
"""What may stand between fields, with its name."""


@dataclass(frozen=True)
class Row:
    """What stands in some columns of a row, none of it empty, by the argument that names the
    column; ``line`` is where the row begins. ``record`` is all of the row, under ``header``."""

    line: int
    fields: Mapping[str, str]
    header: Sequence[str]
    record: Sequence[str]


def read(
    path: Path | str, columns: Mapping[str, str], further: Mapping[str, str] | None = None
) -> list[Row]:
    """The rows of a file that are not blank.

    Args:
        path: UTF-8, quoted as in RFC 4180. Fields are apart by commas, or by the semicolons or tabs
            by which the first row names all ``columns``.
        columns: the columns that have to be there, by the argument that names them.
        further: likewise columns that are taken where they are there.

    Raises:
        HarnessError: there is no such file, it is no CSV, a column is not there, or a row lacks
            something: all such rows are told.
    """
    content = _decoded(Path(path).expanduser())
    separator = _separator(content, columns.values())
    (_, header), *records = _records(content, path, separator) or [(1, [])]
    there = {argument: name for argument, name in (further or {}).items() if name in header}
    wanted = {**columns, **there}
    if mistakes := [*_wrong_columns(header, wanted, SEPARATORS[separator])]:
        raise Mistakes(str(path), mistakes)
    places = {argument: header.index(column) for argument, column in wanted.items()}
    rows: list[Row] = []
    wrong: dict[str, list[int]] = {}
    for line, fields in records:
        if len(fields) != len(header):
            reason = f"not {len(header)} fields; quote what holds a {SEPARATORS[separator]}"
        elif empty := [name for name, place in places.items() if not fields[place].strip()]:
            reason = f"an empty {empty[0]}; give one or leave the row out"
        else:
            asked = {name: fields[place] for name, place in places.items()}
            rows.append(Row(line, asked, header, fields))
            continue
        wrong.setdefault(reason, []).append(line)
    if wrong:
        raise Mistakes(
            str(path), [f"line {abridged(lines)}: {reason}" for reason, lines in wrong.items()]
        )
    return rows


def columns(rows: Collection[Row]) -> dict[str, tuple[str, ...]]:
    """What stands in each column, row by row, as far as its name is its own."""
    header = next(iter(rows)).header if rows else ()
    return {
        name: tuple(row.record[place] for row in rows)
        for place, name in enumerate(header)
        if header.count(name) == 1
    }


def _wrong_columns(
    header: Sequence[str], columns: Mapping[str, str], separator: str
) -> Iterator[str]:
    """What is wrong with the columns that arguments name."""
    for argument, column in columns.items():
        if column not in header:
            names = ", ".join(header) or "none"
            yield (
                f"no column '{column}'; there are: {names} (split at {separator}s). Name it in "
                f"args: {argument} = …"
            )
        elif header.count(column) > 1:
            yield f"more than one column '{column}'; rename the others"


def _separator(content: str, columns: Collection[str]) -> str:
    """What is between the names in the first row: the one by which all wanted columns are there,
    else the one by which there are most, and the comma wherever it is as good."""

    def worth(separator: str) -> tuple[int, int]:
        rows = csv.reader(io.StringIO(content, newline=""), delimiter=separator)
        header: list[str] = next(filter(None, rows), [])
        return len({*columns}.intersection(header)), len(header)

    try:
        return max(SEPARATORS, key=worth)
    except csv.Error:  # told with its line where the whole file is read
        return ","


def _records(content: str, path: Path | str, separator: str) -> list[tuple[int, list[str]]]:
    """The records of a CSV file that are not blank, each with the line that it starts on."""
    reader = csv.reader(io.StringIO(content, newline=""), delimiter=separator, strict=True)
    records = []
    limit = csv.field_size_limit(LONGEST_FIELD)
    line = 1
    try:
        for fields in reader:
            if fields:
                records.append((line, fields))
            line = reader.line_num + 1
    except csv.Error as error:
        raise HarnessError(
            f"{path}: line {line}: {error}", 'Write quotes as RFC 4180 does: "so ""to"" speak"'
        ) from error
    finally:
        csv.field_size_limit(limit)
    return records


def _decoded(path: Path) -> str:
    """The file's text, without a byte order mark."""
    try:
        content = path.read_bytes().removeprefix(codecs.BOM_UTF8)
    except OSError as error:
        told = (
            f"there is no file {located(path)}"
            if not path.exists()
            else f"cannot read {path}: {error}"
        )
        raise HarnessError(told, "Give the path of a CSV file") from error
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise HarnessError(
            f"{path}: line {line}: byte 0x{content[error.start]:02x} is not UTF-8",
            "Save the file as UTF-8",
        ) from error
