"""Image files that a CSV file names, with their labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, TypeAlias

import torch

from harness.api import (
    Data,
    Dataset,
    FileInputs,
    HarnessError,
    Mistakes,
    Split,
    abridged,
    did_you_mean,
    hookimpl,
    natural,
    one_name,
)
from harness_plugins.datasets import _csv_files
from harness_plugins.datasets._csv_files import Row

SPLITS = ("train", "test")

Files: TypeAlias = dict[Path, Row]
"""Rows by the files that they name."""


@dataclass(frozen=True)
class CsvImages(Dataset):
    """A path of an image and its label in each row of a CSV file whose first row names the columns.

    UTF-8, quoted as in RFC 4180. Fields are apart by commas, or by the semicolons or tabs by which
    the first row names both columns. A problem's ``groups`` may name any column. Relative paths are
    taken from the folder of the CSV file. The
    distinct labels of the training images are the classes, in natural order (``2`` before ``10``).

    Args:
        file: the CSV file.
        path: the column of the paths.
        label: the column of the labels.
        group: the column of the groups that images belong to, such as a hospital or a camera: any
            names. By default ``group``, where there is one.
        split: the column that says ``train`` or ``test``: the test split is official. By default
            ``split``, where there is one.
        merge_classes: whether labels that differ only in white space, in how an accent is composed
            or in how a number is written are one class; else they are refused.
    """

    name: ClassVar[str] = "csv_images"
    licence: ClassVar[str] = "that of your data"

    file: Path | str
    path: str = "path"
    label: str = "label"
    group: str | None = None
    split: str | None = None
    merge_classes: bool = False

    def load(self) -> Data:
        """Read the file: images to be decoded when needed, each to uint8 ``[1 or 3, H, W]``; labels
        and groups int64 ``[N]``.

        Raises:
            HarnessError: there is no such file, or all that is wrong inside: rows without a path or
                a label, files that are not there, are named twice or can't be decoded, and labels
                that only test images have.
        """
        files = self._files()
        labels = [row.fields["label"] for row in files.values()]
        names = one_name(labels, str(self.file), merge=self.merge_classes)
        train, test = ({p: row for p, row in files.items() if _split(row) == s} for s in SPLITS)
        classes = sorted({names[row.fields["label"]] for row in train.values()}, key=natural)
        if len(classes) < 2:
            found = f"of one class only: {classes[0]}" if classes else "none"
            raise HarnessError(
                f"{self.file}: labels to train on are {found}", "Give at least two classes"
            )
        number = {name: place for place, name in enumerate(classes)}
        groups = {row.fields["group"] for row in files.values() if "group" in row.fields}
        member = {name: place for place, name in enumerate(sorted(groups, key=natural))}

        def part(chosen: Files) -> Split:
            rows = chosen.values()
            labels = [number[names[row.fields["label"]]] for row in rows]
            members = [member[row.fields["group"]] for row in rows] if groups else None
            return Split(
                FileInputs(tuple(chosen)),
                torch.tensor(labels, dtype=torch.int64),
                None if members is None else torch.tensor(members, dtype=torch.int64),
                _csv_files.columns(rows),
            )

        if unseen := {names[row.fields["label"]] for row in test.values()}.difference(classes):
            lacking: list[str] = sorted(unseen, key=natural)
            raise HarnessError(
                f"{self.file}: test images have labels that no training image has: "
                f"{abridged(lacking)}",
                "Correct them, or leave their rows out",
            )
        halves = [part(chosen) for chosen in (train, test) if chosen]
        if mistakes := [line for half in halves for line in _undecoded(half, files)]:
            raise Mistakes(str(self.file), mistakes)
        return Data(
            train=halves[0], classes=tuple(classes), test=halves[1] if len(halves) == 2 else None
        )

    def _files(self) -> Files:
        """The rows by their files.

        Raises:
            Mistakes: a row says nothing that can be used, or names a file that is not there.
        """
        columns = {"path": self.path, "label": self.label}
        further: dict[str, str] = {}
        for argument, column in (("group", self.group), ("split", self.split)):
            (further if column is None else columns)[argument] = column or argument
        rows = _csv_files.read(self.file, columns, further)
        folder = Path(self.file).expanduser().parent
        paths = [folder / row.fields["path"] for row in rows]
        files = dict(zip(reversed(paths), reversed(rows), strict=True))  # of several the first
        pairs = [*zip(paths, rows, strict=True)]
        mistakes = [
            *_told(
                [row for path, row in pairs if not path.is_file()],
                f"of {len(rows):,} images are not there",
                f"Paths are taken from {folder.absolute()}",
            ),
            *_told(
                [row for path, row in pairs if files[path] is not row],
                f"of {len(rows):,} rows name a file that an earlier row names",
                "Leave them out",
            ),
            *(
                f"line {row.line}: split is '{_split(row)}'{did_you_mean(_split(row), SPLITS)}. "
                "Write 'train' or 'test': the harness draws what validates"
                for row in rows
                if _split(row) not in SPLITS
            ),
        ]
        if mistakes:
            raise Mistakes(str(self.file), mistakes)
        return dict(pairs)


def _split(row: Row) -> str:
    return row.fields.get("split", "train").strip()


def _told(rows: Sequence[Row], what: str, remedy: str) -> Iterator[str]:
    if rows:
        named = abridged((f"line {row.line}: {row.fields['path']}" for row in rows), separator="; ")
        yield f"{len(rows):,} {what}: {named}. {remedy}"


def _undecoded(split: Split, files: Files) -> Iterator[str]:
    """A line for each image that can't be decoded."""
    assert isinstance(split.inputs, FileInputs)
    for path, reason in split.inputs.unreadable.items():
        row = files[path]
        yield (
            f"line {row.line}: the image {row.fields['path']} cannot be decoded ({reason}). Repair "
            "it, or leave the row out"
        )


@hookimpl
def harness_datasets() -> Sequence[type[Dataset]]:
    return [CsvImages]
