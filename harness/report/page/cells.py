"""Tell all that is known of each cell, in files beside the page.

A page that is opened from a disk may load a script from there, but no data: each file is a script
that calls ``harnessCells`` with the JSON of some cells.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from harness.record.predictions import class_names
from harness.record.reading import InvalidFile
from harness.report.analysis import misclassified
from harness.report.analysis.predictions import count_file
from harness.report.analysis.report import Report
from harness.report.workers import Submit, serial

EACH = 25
"""Cells in a file."""

MOST_BYTES = 250_000_000
"""Bytes of predictions that are read, at most: those of the first cells."""

TAIL = 8_000
"""Bytes of the end of a log."""

PAIRS = 400
"""Kinds of mistake that are told of a cell: all there are with 20 classes."""

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
"""What colours a terminal and moves its cursor."""


class _Cell(NamedTuple):
    key: str
    record: str
    log: str | None
    split: str | None
    predictions: bool
    tests: tuple[str, ...]


def render_cells(report: Report, submit: Submit = serial) -> Callable[[], dict[str, bytes]]:
    """Begin to make the files; gives them by name, ``1.js`` having the first ``EACH`` cells."""
    show, cells = misclassified.may_show(report.plan), _cells(report)
    parts = [
        submit(_file, report.directory, cells[first : first + EACH], show)
        for first in range(0, len(cells), EACH)
    ]
    return lambda: {f"{number}.js": part() for number, part in enumerate(parts, 1)}


def _cells(report: Report) -> list[_Cell]:
    found, left, frame = [], MOST_BYTES, report.frame
    tests = {cell.cell: cell.tests for cell in report.plan.cells}
    columns = (frame[name] for name in ("cell", "log", "split_hash", "protocol"))
    for key, *others, protocol in zip(*columns, strict=True):
        log, split = (name if isinstance(name, str) else None for name in others)
        with suppress(OSError):
            left -= (report.directory / f"predictions/{key}.npz").stat().st_size
        # Episodes have classes of their own each.
        counted = left >= 0 and protocol != "episodes"
        record = report.details.records.get(key, "null")
        found.append(_Cell(key, record, log, split, counted, tests[key]))
    return found


def _file(directory: Path, cells: Sequence[_Cell], show: bool) -> bytes:
    told = ",".join(_told(directory, cell, show) for cell in cells)
    return f"harnessCells({json.dumps(f'[{told}]')});\n".encode()


def _told(directory: Path, cell: _Cell, show: bool) -> str:
    """JSON: the cell's key, its record, and what its other files hold."""
    more: dict[str, Any] = {
        "log": _log(directory, cell.log),
        "predicted": _predicted(directory, cell) if cell.predictions else None,
        "errors": misclassified.read(directory, cell.key, show),
    }
    if cell.tests:
        kept = {test: misclassified.read(directory, cell.key, show, test) for test in cell.tests}
        more["further"] = {test: errors for test, errors in kept.items() if errors is not None}
    return f"[{json.dumps(cell.key)},{cell.record},{json.dumps(more)}]"


def _log(directory: Path, name: str | None) -> dict[str, str] | None:
    """The end of a log, from its folder alone: a record may name any file."""
    path = directory / "logs" / Path(name or "").name
    if not name or not path.is_file():
        return None
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - TAIL))
        text = _ESCAPES.sub("", file.read().decode(errors="replace"))
    return {"name": f"logs/{path.name}", "tail": text if size <= TAIL else f"…{text}"}


def _predicted(directory: Path, cell: _Cell) -> dict[str, Any] | None:
    """Count by class, and by kind of mistake, the most frequent first."""
    try:
        confusion, *_ = count_file(directory / f"predictions/{cell.key}.npz")
    except FileNotFoundError:
        return None
    except InvalidFile as invalid:
        return {"why": str(invalid)}
    wrong = confusion - np.diag(confusion.diagonal())
    order = np.argsort(-wrong, axis=None, kind="stable")[: min(PAIRS, np.count_nonzero(wrong))]
    true, taken = np.unravel_index(order, wrong.shape)
    return {
        "classes": class_names(directory, cell.split, len(confusion)),
        "examples": confusion.sum(1).tolist(),
        "right": confusion.diagonal().tolist(),
        "pairs": np.stack([true, taken, wrong[true, taken]], axis=1).tolist(),
    }
