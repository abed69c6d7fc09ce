"""Which of the built-in datasets reads a folder or a file, and by what arguments."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

from harness.api import hookimpl, is_archive

Rows: TypeAlias = Sequence[Mapping[str, str]]

LOOKED_AT = 200
"""Rows of a CSV file from which its columns are guessed."""

LABELS = ("label", "class", "target", "category", "species", "y")
"""What people call the column of the labels."""

TEXTS = ("text", "sentence", "content", "document", "review", "tweet", "message")
"""What people call the column of the texts."""


@hookimpl
def harness_datasets_for(path: Path) -> list[tuple[str, Mapping[str, Any]]]:
    if path.is_dir() or is_archive(path):
        return [("folder", {"root": str(path)})]
    match path.suffix.lower():
        case ".npz":
            return [("arrays", {"path": str(path)})]
        case ".csv" | ".tsv":
            return [_csv_file(path)]
    return []


def _csv_file(path: Path) -> tuple[str, Mapping[str, Any]]:
    """Images where the values of a column are files, else texts; with the columns that are not
    called as the dataset expects. What can't be read is left to the dataset to tell of."""
    try:
        rows = _rows(path)
    except (OSError, ValueError, csv.Error):
        rows = []
    columns = [*rows[0]] if rows else []
    files = [name for name in columns if all((path.parent / row[name]).is_file() for row in rows)]
    if files:
        label = _label(rows, [name for name in columns if name != files[0]])
        return "csv_images", {"file": str(path), **_named(path=files[0], label=label)}
    text = _called(columns, TEXTS) or max(columns, key=lambda n: _letters(rows, n), default="text")
    label = _label(rows, [name for name in columns if name != text])
    beside = path.with_name(path.name.replace("train", "test"))
    test = {"test": str(beside)} if beside != path and beside.is_file() else {}
    return "csv_text", {"train": str(path), **test, **_named(text=text, label=label)}


def _rows(path: Path) -> Rows:
    """The first rows of a file by the separator by which its first row has most names."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        first = file.readline()
        file.seek(0)
        separator = max(",;\t", key=first.count)
        reader = csv.DictReader(file, delimiter=separator, restval="")
        return [row for row in islice(reader, LOOKED_AT) if None not in row]


def _label(rows: Rows, columns: Sequence[str]) -> str:
    """The column that is called so, else that of the fewest distinct values, two at least."""
    values = {name: len({row[name] for row in rows}) for name in columns}
    several = [name for name in columns if values[name] > 1]
    return _called(columns, LABELS) or min(several, key=values.__getitem__, default="label")


def _called(columns: Sequence[str], names: Sequence[str]) -> str | None:
    by_name = {column.strip().lower(): column for column in columns}
    return next((by_name[name] for name in names if name in by_name), None)


def _letters(rows: Rows, column: str) -> int:
    return sum(len(row[column]) for row in rows)


def _named(**columns: str) -> dict[str, str]:
    """The columns that are called otherwise than the arguments that name them."""
    return {name: column for name, column in columns.items() if name != column}
