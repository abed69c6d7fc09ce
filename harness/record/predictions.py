"""What a cell answered on its test, as its file has it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from harness.record.arrays import read_arrays
from harness.record.files import read_file
from harness.record.reading import InvalidFile

LARGEST = 100_000_000
"""Bytes of a split's manifest that are read, at most."""


def read_predictions(path: Path, *more: str) -> dict[str, NDArray[Any]]:
    """Read the ``logits`` [N, C] or, of episodes, [E, N, C] that a cell left, their ``labels``, and
    the arrays that ``more`` names.

    Raises:
        FileNotFoundError: there is no such file.
        InvalidFile: it is damaged, or its arrays don't fit together.
    """
    arrays = read_arrays(path, "logits", "labels", *more)
    logits, labels = arrays["logits"], arrays["labels"]
    if logits.dtype.kind != "f" or labels.dtype.kind not in "iu":
        raise InvalidFile("does not hold logits and labels")
    if logits.ndim not in (2, 3) or logits.shape[:-1] != labels.shape or not logits.size:
        raise InvalidFile("does not hold logits and a label for each")
    return arrays


def published_classes(directory: Path, split: Any) -> tuple[str, ...] | None:
    """Read the classes' names from the split's manifest; None where it has none."""
    try:
        names = json.loads(read_file(directory / f"splits/{split}.json", LARGEST)).get("classes")
    except (OSError, ValueError, AttributeError, RecursionError):
        return None
    return tuple(map(str, names)) if isinstance(names, list) else None


def class_names(directory: Path, split: Any, number: int) -> tuple[str, ...]:
    """Read the classes' names from the split's manifest, or number them where it has none."""
    names = published_classes(directory, split)
    return names if names and len(names) == number else tuple(map(str, range(number)))
