"""Texts and labels in CSV files."""

from __future__ import annotations

from collections.abc import Sequence
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
    natural,
    one_name,
)
from harness_plugins.datasets import _csv_files
from harness_plugins.datasets._csv_files import Row

Rows: TypeAlias = list[tuple[Row, str]]
"""Rows of the files, each with the name of its class."""


@dataclass(frozen=True)
class CsvText(Dataset):
    """A text and a label in each row of a CSV file whose first row names the columns.

    UTF-8, quoted as in RFC 4180. Fields are apart by commas, or by the semicolons or tabs by which
    the first row names both columns. The distinct labels of ``train`` are the classes, in natural
    order (``2`` before ``10``). Texts are given as they stand, blank lines passed over. A problem's
    ``groups`` may name any column.

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
        read, also = self._halves()
        labels = [row.fields["label"] for row in (*read, *(also or ()))]
        names = one_name(labels, str(self.train), merge=self.merge_classes)

        def named(rows: Sequence[Row]) -> Rows:
            return [(row, names[row.fields["label"]]) for row in rows]

        train = named(read)
        classes = tuple(sorted({label for _, label in train}, key=natural))
        if len(classes) < 2:
            found = f"of one class only: {classes[0]}" if classes else "none"
            raise HarnessError(f"{self.train}: labels are {found}", "Give at least two classes")
        test = None if also is None else named(also)
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

    def _halves(self) -> tuple[list[Row], list[Row] | None]:
        """The rows of the training file and those of the test file, if there is one.

        Raises:
            Mistakes: all that is wrong in both.
        """
        halves: list[list[Row]] = []
        wrong: list[HarnessError] = []
        for path in (self.train, self.test):
            if path is not None:
                try:
                    columns = {"text": self.text, "label": self.label}
                    halves.append(_csv_files.read(path, columns))
                except HarnessError as error:
                    wrong.append(error)
        if len(wrong) == 1:
            raise wrong[0]
        if wrong:
            raise Mistakes("dataset csv_text", [line for error in wrong for line in error.each()])
        return halves[0], halves[1] if len(halves) == 2 else None


def _split(rows: Rows, classes: Sequence[str]) -> Split:
    index = {name: place for place, name in enumerate(classes)}
    labels = torch.tensor([index[label] for _, label in rows], dtype=torch.int64)
    texts = TextInputs(tuple(row.fields["text"] for row, _ in rows))
    return Split(texts, labels, columns=_csv_files.columns([row for row, _ in rows]))


@hookimpl
def harness_datasets() -> Sequence[type[Dataset]]:
    return [CsvText]
