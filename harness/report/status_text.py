"""Tell how far a suite is, for a terminal and for programs."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator
from typing import Any, get_args

from tabulate import tabulate

from harness.record.monitor import CellState, Snapshot, State
from harness.report import format
from harness.report.analysis.faults import Faults, in_order, note

WIDEST = 120
"""Characters of a line, at most, on a wider terminal."""

STATES: tuple[State, ...] = get_args(State)


def lines(snapshot: Snapshot, width: int, every: bool = False) -> Iterator[str]:
    """The whole in lines for a terminal of ``width`` characters; with ``every``, a line a cell
    too."""
    width = min(width, WIDEST)
    yield from _headlines(snapshot)
    yield ""
    yield from _by_strategy(snapshot, width)
    if running := snapshot.having("running"):
        yield "\nrunning"
        for cell in running:
            yield _cut(f"  {cell.cell.title}", width)
            yield from _wrapped(_at_work(cell, snapshot.at), width)
    if lost := [cell for cell in snapshot.having("waiting") if cell.owner is not None]:
        yield "\nwaiting, and given up by"
        for cell in lost:
            assert cell.owner is not None
            told = f"{cell.owner.host}, pid {cell.owner.pid}: {cell.cell.title}"
            yield _cut(f"  {format.duration(cell.heard)} ago, {told}", width)
    if failed := snapshot.having("failed"):
        yield "\nnot ok"
        faults: Faults = {}
        for cell in failed:
            note(faults, cell.cell, cell.status, cell.reason, log=cell.log)
        for fault in in_order(faults.values()):
            reason = f": {fault.reason}" if fault.reason else ""
            yield from _wrapped(f"{len(fault.cells)} × {fault.status}{reason}", width, 2)
            logs = [f"; log: {log}" for _, log in fault.cells[:1] if log]
            yield from _wrapped(f"{fault.where}{''.join(logs)}", width)
    if every:
        yield ""
        for cell in snapshot.cells:
            state = cell.state if cell.state in ("ok", "running") else cell.status
            yield _cut(f"{cell.cell.cell}  {state:<11}  {cell.cell.title}", width)


def as_json(snapshot: Snapshot) -> dict[str, Any]:
    """Make data of it, for JSON: seconds, and null for what is not known."""
    counts = Counter(cell.state for cell in snapshot.cells)
    return {
        "suite": snapshot.suite,
        "counts": {state: counts[state] for state in STATES},
        "at_once": snapshot.at_once,
        "seconds_left": snapshot.left,
        "cells": [
            {
                "cell": cell.cell.cell,
                "title": cell.cell.title,
                "state": cell.state,
                "status": cell.status,
                "reason": cell.reason or None,
                "log": cell.log,
                "owner": cell.owner.model_dump() if cell.owner is not None else None,
                "seconds_since_sign": cell.heard if cell.owner is not None else None,
                "seconds_left": cell.left,
            }
            for cell in snapshot.cells
        ],
    }


def headline(snapshot: Snapshot) -> str:
    """``small: 60 cells, 40 ok, 2 failed, 3 running, 15 waiting``."""
    counts = Counter(cell.state for cell in snapshot.cells)
    parts = [format.plural(len(snapshot.cells), "cell")]
    parts += [f"{counts[state]:,} {state}" for state in STATES if counts[state]]
    return f"{snapshot.suite}: {', '.join(parts)}"


def _headlines(snapshot: Snapshot) -> Iterator[str]:
    """The state of all, and how long the rest takes."""
    yield headline(snapshot)
    if snapshot.ended:
        return
    if snapshot.left is None:
        yield "no estimate yet of the time left"
        return
    left = f"about {format.duration(snapshot.left)} left"
    if not snapshot.having("running"):
        yield f"{left} once it runs, one cell at a time{snapshot.rests_on}"
    else:
        yield f"{left}, {snapshot.at_once} at a time{snapshot.rests_on}"


def _by_strategy(snapshot: Snapshot, width: int) -> Iterator[str]:
    """A row a strategy: how many of its cells are in which state."""
    counts: dict[str, Counter[State]] = {}
    for cell in snapshot.cells:
        counts.setdefault(cell.cell.label, Counter())[cell.state] += 1
    room = width - 40  # four columns of counts
    rows = [
        [
            _cut(label, room),
            *(str(found[state]) if found[state] else format.GAP for state in STATES),
        ]
        for label, found in counts.items()
    ]
    align = ["left", *["right" for _ in STATES]]
    heads = ["strategy", *STATES]
    table = tabulate(rows, heads, "simple", colalign=align, disable_numparse=True)
    yield from table.splitlines()


def _at_work(cell: CellState, now: float) -> str:
    """``trial 3 of 8, 1 min 2 s so far, about 40 s left; alpha, pid 4123, cpu``."""
    owner = cell.owner
    assert owner is not None
    if owner.stage in ("trial", "adapt") and owner.trial is not None:
        of = f" of {owner.trials}" if owner.trials else ""
        stage = [f"trial {owner.trial + 1}{of}"]
    elif owner.stage:
        of = f" of {owner.total:,}" if owner.total else ""
        stage = [f"{owner.stage} {owner.done:,}{of}"]
    else:
        stage = []
    left = [] if cell.left is None else [f"about {format.duration(cell.left)} left"]
    age = format.duration(max(now - owner.started, 0.0))
    return (
        f"{', '.join([*stage, f'{age} so far', *left])}; {owner.host}, pid {owner.pid}, "
        f"{owner.device}"
    )


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _wrapped(text: str, width: int, indent: int = 4) -> list[str]:
    return textwrap.wrap(
        text, width, initial_indent=" " * indent, subsequent_indent=" " * (indent + 2)
    )
