"""Texts and labels in CSV files."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, TypeAlias

import torch

from harness.api import (
    Data,
    Dataset,
    HarnessError,
    Mistakes,
    Split,
    TextInputs,
    abridged,
    hookimpl,
    located,
    natural,
    one_name,
)

LONGEST_FIELD = 2**31 - 1
"""Characters: what fits a C long everywhere. The csv module's own limit is an essay's length."""

SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab"}
"""What may stand between fields, with its name."""

Rows: TypeAlias = list[tuple[str, str]]
"""Texts, each with its label."""


@dataclass(frozen=True)
class CsvText(Dataset):
    """A text and a label in each row of a CSV file whose first row names the columns.

    UTF-8, quoted as in RFC 4180. Fields are apart by commas, or by the semicolons or tabs by which
    the first row names both columns. The distinct labels of ``train`` are the classes, in natural
    order (``2`` before ``10``). Texts are given as they stand, blank lines passed over.

    Args:
        train: the CSV file.
        test: another with the same columns: the official test split.
        text: the column of the texts.
        label: the column of the labels.
        merge_classes: whether labels that differ only in white space, in how an accent is composed
            or in how a number is written are one class; else they are refused.
    """

    name: ClassVar[str] = "csv_text"
    modality: ClassVar[str] = "text"
    licence: ClassVar[str] = "that of your data"

    train: Path | str
    test: Path | str | None = None
    text: str = "text"
    label: str = "label"
    merge_classes: bool = False

    def load(self) -> Data:
        """Read the files: texts as they stand, labels int64 ``[N]``.

        Raises:
            HarnessError: there is no such file, or all that is wrong inside.
        """
        train, test = self._halves()
        labels = [label for _, label in (*train, *(test or ()))]
        names = one_name(labels, str(self.train), merge=self.merge_classes)
        train = [(text, names[label]) for text, label in train]
        classes = tuple(sorted({label for _, label in train}, key=natural))
        if len(classes) < 2:
            found = f"of one class only: {classes[0]}" if classes else "none"
            raise HarnessError(f"{self.train}: labels are {found}", "Give at least two classes")
        test = None if test is None else [(text, names[label]) for text, label in test]
        if unseen := sorted({label for _, label in test or ()} - {*classes}, key=natural):
            raise HarnessError(
                f"{self.test} has labels that {self.train} lacks: {abridged(unseen)}",
                "Correct them, or leave their rows out",
            )
        return Data(
            train=_split(train, classes),
            classes=classes,
            test=None if test is None else _split(test, classes),
        )

    def _halves(self) -> tuple[Rows, Rows | None]:
        """The rows of the training file and those of the test file, if there is one.

        Raises:
            Mistakes: all that is wrong in both.
        """
        halves: list[Rows] = []
        wrong: list[HarnessError] = []
        for path in (self.train, self.test):
            if path is not None:
                try:
                    halves.append(self._read(path))
                except HarnessError as error:
                    wrong.append(error)
        if len(wrong) == 1:
            raise wrong[0]
        if wrong:
            raise Mistakes("dataset csv_text", [line for error in wrong for line in error.each()])
        return halves[0], halves[1] if len(halves) == 2 else None

    def _read(self, path: Path | str) -> Rows:
        """The rows of a file, none of them empty.

        Raises:
            Mistakes: every row that is not as it has to be.
        """
        rows: Rows = []
        wrong: dict[str, list[int]] = {}
        file = Path(path).expanduser()
        content = _decoded(file)
        separator = _separator(content, {self.text, self.label})
        (_, header), *records = _records(content, file, separator) or [(1, [])]
        columns = {"text": self.text, "label": self.label}
        if mistakes := [*_wrong_columns(header, columns, SEPARATORS[separator])]:
            raise Mistakes(str(path), mistakes)
        text, label = header.index(self.text), header.index(self.label)
        for line, fields in records:
            if len(fields) != len(header):
                reason = f"not {len(header)} fields; quote what holds a {SEPARATORS[separator]}"
            elif not fields[text].strip():
                reason = "an empty text; leave the row out"
            elif not fields[label].strip():
                reason = "an empty label; give one or leave the row out"
            else:
                rows.append((fields[text], fields[label]))
                continue
            wrong.setdefault(reason, []).append(line)
        if wrong:
            raise Mistakes(
                str(path), [f"line {abridged(lines)}: {reason}" for reason, lines in wrong.items()]
            )
        return rows


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


def _separator(content: str, columns: set[str]) -> str:
    """What is between the names in the first row: the one by which all wanted columns are there,
    else the one by which there are most, and the comma wherever it is as good."""

    def worth(separator: str) -> tuple[int, int]:
        rows = csv.reader(io.StringIO(content, newline=""), delimiter=separator)
        header: list[str] = next(filter(None, rows), [])
        return len(columns.intersection(header)), len(header)

    try:
        return max(SEPARATORS, key=worth)
    except csv.Error:  # told with its line where the whole file is read
        return ","


def _records(content: str, path: Path, separator: str) -> list[tuple[int, list[str]]]:
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


def _split(rows: Rows, classes: Sequence[str]) -> Split:
    index = {name: place for place, name in enumerate(classes)}
    labels = torch.tensor([index[label] for _, label in rows], dtype=torch.int64)
    return Split(TextInputs(tuple(text for text, _ in rows)), labels)


@hookimpl
def harness_datasets() -> Sequence[type[Dataset]]:
    return [CsvText]
