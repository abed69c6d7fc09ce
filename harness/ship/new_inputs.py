"""What a user gives a model: files, folders and archives of images, texts in CSV and text files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from harness.data.archives import is_archive, unpacked
from harness.data.classes import natural
from harness.data.examples import RawBatch
from harness.data.images import decode
from harness.data.pixels import is_image
from harness.data.streamed import Preprocess
from harness.errors import HarnessError, located, one_line

AT_ONCE = 256
"""Inputs that go through a model together."""


@dataclass(frozen=True)
class Item:
    """An input by the name that the user knows it by: where it is, or the text itself."""

    name: str
    path: Path | None = None
    text: str | None = None


@dataclass(frozen=True)
class Prepared:
    """Some inputs: those that can be read, prepared ``[n, ...]``, or None where there are none, and
    for each whether it is among them: '' or the reason why not."""

    items: Sequence[Item]
    inputs: Tensor | None
    reasons: Sequence[str]


def images(paths: Sequence[Path]) -> tuple[list[Item], int]:
    """Find the images of some files, folders and archives, in natural order; and how many other
    files of folders were passed over. A file that is named itself is taken for an image, whatever
    it is.

    Raises:
        HarnessError: there is no such file, or an archive is damaged or not safe.
    """
    found: list[Item] = []
    passed = 0
    for path in paths:
        path = path.expanduser()
        if not path.exists():
            raise HarnessError(f"there is no {located(path)}", "Give files, folders or archives")
        if path.is_file() and not is_archive(path):
            found.append(Item(str(path), path))
            continue
        root = unpacked(path) if is_archive(path) else path
        for file in sorted(root.rglob("*"), key=lambda file: natural(str(file.relative_to(root)))):
            within = file.relative_to(root)
            if not file.is_file() or any(part.startswith(".") for part in within.parts):
                continue
            if "__MACOSX" in within.parts or not is_image(file):
                passed += 1
                continue
            found.append(Item(str(path / within), file))
    return found, passed


def texts(paths: Sequence[Path], column: str) -> list[Item]:
    """Read texts: one a row of a CSV file's ``column``, or one a line of any other file.

    Raises:
        HarnessError: a file can't be read, or has no such column.
    """
    found: list[Item] = []
    for path in paths:
        path = path.expanduser()
        try:
            if path.suffix.lower() in (".csv", ".tsv"):
                found += [Item(text, text=text) for text in _column(path, column)]
            else:
                lines = path.read_text(encoding="utf-8-sig").splitlines()
                found += [Item(line, text=line) for line in lines if line.strip()]
        except (OSError, UnicodeDecodeError) as error:
            raise HarnessError(
                f"cannot read {path}: {one_line(error)}", "Give UTF-8 text files, or CSV"
            ) from error
    return found


def _column(path: Path, column: str) -> list[str]:
    import pandas as pd

    try:
        frame = pd.read_csv(
            path, sep=None, engine="python", dtype=str, keep_default_na=False, encoding="utf-8-sig"
        )
    except ValueError as error:  # pandas's own errors are such
        raise HarnessError(f"{path} is no CSV file: {one_line(error)}", "Mend that line") from error
    if column not in frame:
        raise HarnessError(
            f"{path} has no column '{column}', but {', '.join(map(repr, frame.columns))}",
            "Say which has the texts: --column NAME",
        )
    return [*frame[column]]


def prepared(
    items: Sequence[Item], device: torch.device, preprocess: Preprocess
) -> Iterator[Prepared]:
    """Prepare inputs on a device, some at a time. What can't be read does not stop the others."""
    for start in range(0, len(items), AT_ONCE):
        batch = items[start : start + AT_ONCE]
        ready, reasons = list[Tensor](), list[str]()
        for item in batch:
            try:
                ready.append(preprocess(_raw(item)))
                reasons.append("")
            except Exception as error:  # what a damaged file raises depends on its format
                reasons.append(one_line(error))
        inputs = torch.cat(ready).to(device) if ready else None
        yield Prepared(batch, inputs, reasons)


def _raw(item: Item) -> RawBatch:
    if item.text is not None:
        if not item.text.strip():
            raise HarnessError("it is empty", "Give a text")
        return [item.text]
    assert item.path is not None
    return decode(item.path.read_bytes())[None]
