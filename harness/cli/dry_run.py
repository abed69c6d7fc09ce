"""What ``harness suite --dry-run`` shows: the cells, which are done, and what the rest takes."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click
import psutil

from harness.plan.cell import Cell
from harness.record.store import Store
from harness.report.format import size


class Needs(NamedTuple):
    """What cells take, by key: seconds (``None`` is not known) and bytes of disk; and bytes of
    memory, which any of them may."""

    seconds: Mapping[str, float | None]
    disk: Mapping[str, int]
    memory: float


def show(
    chosen: Sequence[Cell],
    todo: Sequence[Cell],
    later: Sequence[Cell],
    needs: Needs,
    at_once: int,
    store: Store,
    output: str,
) -> None:
    """Print the ``chosen`` cells, what those that are ``todo`` take, so many at once, and how many
    may come ``later``."""
    missing = {cell.cell for cell in todo}
    records = {cell.cell: store.judged(cell)[0] for cell in chosen}
    rows: list[dict[str, Any]] = [
        {
            "cell": cell.cell,
            "title": cell.title,
            "done": cell.cell not in missing,
            "status": record.status if (record := records[cell.cell]) else None,
            "seconds": needs.seconds[cell.cell] if cell.cell in missing else None,
            "disk_bytes": needs.disk[cell.cell] if cell.cell in missing else None,
        }
        for cell in chosen
    ]
    if output == "json":
        told: dict[str, Any] = {"directory": str(store.directory), "cells": rows}
        told |= {"memory_bytes": needs.memory * at_once, "at_once": at_once}
        told |= {"later": [cell.cell for cell in later]} if later else {}
        click.echo(json.dumps(told, indent=1))
    else:
        for row in rows:
            cost = row["status"] if row["done"] else _duration(row["seconds"])
            click.echo(f"{row['cell']}  {cost:>9}  {row['title']}")
        done = len(chosen) - len(todo)
        total = _total(needs, todo, at_once)
        click.echo(f"{len(chosen)} cells, {done} done, {len(todo)} to do{total}")
        if later:
            total = _total(needs, later, at_once)
            click.echo(f"up to {len(later)} cells more where settings have no winner{total}")
        if todo:
            click.echo(_room(needs, todo, at_once, store.directory))
    _show_stale(todo, store)


def _total(needs: Needs, cells: Sequence[Cell], at_once: int) -> str:
    known = [cost for cell in cells if (cost := needs.seconds[cell.cell]) is not None]
    if not known:
        return ""
    whole = max(sum(known) / at_once, *known)
    how_many = "one" if at_once == 1 else str(at_once)
    return f": {_duration(whole)} on this machine, {how_many} at a time"


def _room(needs: Needs, cells: Sequence[Cell], at_once: int, directory: Path) -> str:
    there = next(folder for folder in (directory, *directory.parents) if folder.exists())
    left = sum(needs.disk[cell.cell] for cell in cells)
    memory, disk = psutil.virtual_memory().available, shutil.disk_usage(there).free
    return (
        f"memory: up to {size(needs.memory * at_once)} of {size(memory)} free; "
        f"disk: about {size(left)} of {size(disk)} free"
    )


def _show_stale(todo: Sequence[Cell], store: Store) -> None:
    """Say which cells have records that don't count any more, and why, with how many there are."""
    invalid = Counter(str(error) for cell in todo if (error := store.judged(cell)[1]))
    for why, count in invalid.items():
        one = "1 cell runs" if count == 1 else f"{count} cells run"
        click.echo(f"harness: {one} again: the record {why}", err=True)


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    if seconds < 100:
        return f"≈ {seconds:.0f} s"
    return f"≈ {seconds / 60:.0f} min" if seconds < 6000 else f"≈ {seconds / 3600:.1f} h"
