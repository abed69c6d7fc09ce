"""Read predictions that were made elsewhere: a CSV file of ids, and of what was answered."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from harness.errors import HarnessError, abridged, did_you_mean
from harness.hashing import short
from harness.record.files import read_file, reason

LARGEST = 2**30
"""Bytes of a file that are read."""

SURE = 1000.0
"""The logit of a bare class above the others: its softmax is exactly 1."""

ROUNDED = 0.01
"""How far probabilities of one example may sum up to something else than 1."""

Given: TypeAlias = Mapping[int, NDArray[np.float64]]
"""Logits ``[C]`` by example id."""


@dataclass(frozen=True)
class Answers:
    """Answers by example id and, where the file tells them, by seed: else the seed is None.
    ``bare``: they are classes without probabilities. ``digest``: of the file's bytes."""

    path: Path
    by_seed: Mapping[int | None, Given]
    bare: bool
    digest: str

    def of(self, seed: int) -> Given:
        return self.by_seed.get(seed if None not in self.by_seed else None, {})


def read(path: Path, classes: Sequence[str]) -> Answers:
    """Read ``id`` and either ``class``, a class's name, or a column of probabilities for each
    class; a column ``seed`` tells of which seed's test an answer is. Other columns are passed over.

    Raises:
        HarnessError: it can't be read, lacks a column, or a line of it is not right.
    """
    try:
        content = read_file(path, LARGEST)
        rows = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""), restval="")
        columns = [*(rows.fieldnames or ())]
        bare = _require(path, columns, classes)
        found: dict[int | None, dict[int, NDArray[np.float64]]] = {}
        for row in rows:
            where = f"{path}, line {rows.line_num}"
            seed = _whole(row["seed"], "seed", where) if "seed" in columns else None
            number = _whole(row["id"], "id", where)
            given = found.setdefault(seed, {})
            if number in given:
                raise HarnessError(f"{where}: the id {number} is there twice", "Remove one")
            given[number] = (
                _chosen(row["class"], classes, where) if bare else _sure(row, classes, where)
            )
    except OSError as error:
        raise HarnessError(f"cannot read {path}: {reason(error)}", "Check the path") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise HarnessError(f"{path} is no CSV file in UTF-8: {error}", "Save it as one") from error
    return Answers(path, found, bare, short(content))


def _require(path: Path, columns: Sequence[str], classes: Sequence[str]) -> bool:
    """Whether a file of these columns has bare classes.

    Raises:
        HarnessError: there are not those that it takes.
    """
    lacking = [f"'{name}'" for name in classes if name not in columns]
    if "id" not in columns:
        wrong = "it has no column 'id'"
    elif twice := sorted({name for name in columns if columns.count(name) > 1}):
        wrong = f"it has the column '{twice[0]}' twice"
    elif lacking and "class" not in columns:
        wrong = f"it has neither a column 'class' nor one for each class: {abridged(lacking)}"
    else:
        return bool(lacking)
    raise HarnessError(
        f"{path}: {wrong}", "Give the columns id and class, or id and one for each class"
    )


def _whole(text: str, column: str, where: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise HarnessError(f"{where}: the {column} {text!r} is no whole number", "Mend that line")
    return int(text)


def _chosen(name: str, classes: Sequence[str], where: str) -> NDArray[np.float64]:
    if name not in classes:
        raise HarnessError(
            f"{where}: there is no class {name!r}{did_you_mean(name, classes)}",
            "The file of splits has the classes' names: harness splits SUITE",
        )
    return np.where(np.arange(len(classes)) == classes.index(name), SURE, 0.0)


def _sure(row: Mapping[str, str], classes: Sequence[str], where: str) -> NDArray[np.float64]:
    """The logarithms of probabilities, which are held above 0 as scikit-learn's log loss does."""
    chances = np.array([*_numbers(row, classes, where)])
    if (chances < 0).any() or not abs(chances.sum() - 1) <= ROUNDED:
        raise HarnessError(
            f"{where}: probabilities are not above 0 with a sum of 1, but of {chances.sum():g}",
            "Give a softmax, not logits",
        )
    logs: NDArray[np.float64] = np.log(
        np.maximum(chances / chances.sum(), np.finfo(np.float64).eps)
    )
    return logs


def _numbers(row: Mapping[str, str], classes: Sequence[str], where: str) -> Iterator[float]:
    for name in classes:
        try:
            yield float(row[name])
        except ValueError:
            raise HarnessError(
                f"{where}: {row[name]!r} is no probability of '{name}'", "Mend that line"
            ) from None
