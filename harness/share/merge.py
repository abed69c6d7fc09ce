"""Join results folders of one suite, which several machines have run, into a new one."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from harness.errors import HarnessError, abridged
from harness.hashing import canonical
from harness.plan.keys import differences
from harness.record.comparable import Comparable
from harness.record.files import move
from harness.record.owners import SILENT, owners
from harness.record.reading import Newer, Unreadable
from harness.record.schema import Coordinates, Plan, Record
from harness.record.store import Store, cell_files
from harness.report.format import plural

FREE = {"description", "claims", "predictors", "save_predictors", "limits", "report"}
"""Entries of a suite that no cell depends on: those of the first folder are kept."""

AXES = ("seeds", "strategies", "backbones", "problems")
"""Lists of a suite, of which one may differ: its entries are joined."""

APART = "Run one suite on all machines, each a part of it: harness suite SUITE --only seed=0,1"


class Result(NamedTuple):
    """How a cell ended: its record, without what takes memory, and its ``outcome``, which is equal
    where results are."""

    record: Record
    outcome: str


@dataclass(frozen=True)
class Folder:
    """A results folder: its plan, and the results of planned cells that count."""

    store: Store
    plan: Plan
    results: Mapping[str, Result]

    @property
    def name(self) -> str:
        return str(self.store.directory)


def merge(directories: Sequence[Path], to: Path, say: Callable[[str], None]) -> None:
    """Join results folders into a new one, with all that their cells left but caches and reports.

    A cell that ended ok in several, with equal results, is taken of the first. One that ended ok
    in one and otherwise in another is taken as ok, and one that has not ended with what it has done
    so far.

    Args:
        say: is told, in a line each, what else was left out.

    Raises:
        HarnessError: somebody runs in one of them, or they differ in their suites, in the budget,
            in the data or the splits of a problem, or in what a cell means or came to.
    """
    if to.exists():
        raise HarnessError(f"{to} is there already", "Give a folder that is not: --to DIR")
    if len({directory.resolve() for directory in directories}) < len(directories):
        raise HarnessError("a folder is named twice", "Name different ones")
    folders = [_read(directory, say) for directory in directories]
    plan = _joined(folders)
    _require_comparable(folders)
    _require_one_meaning(folders)
    _require_equal_results(folders)
    making = to.with_name(f"{to.name}.making")
    shutil.rmtree(making, ignore_errors=True)
    store = Store(making)
    store.write_plan(plan)
    for cell in plan.cells:
        first = max(folders, key=lambda folder: _worth(folder, cell))  # of equals the first
        for name in _files(cell, first.results.get(cell.cell)):
            if (file := first.store.directory / name).is_file():
                shutil.copyfile(file, store.path_for(name))
    move(making, to)


def _read(directory: Path, say: Callable[[str], None]) -> Folder:
    store = Store(directory)
    plan = store.plan()
    if running := [cell for cell, (_, heard) in owners(directory).items() if heard < SILENT]:
        raise HarnessError(
            f"{directory}: somebody is at work on {plural(len(running), 'cell')}, such as "
            f"{running[0]}",
            f"Wait until all have ended: harness status {directory} --watch",
        )
    results = {}
    for cell in plan.cells:
        record, invalid = store.judged(cell)
        if isinstance(invalid, Newer | Unreadable):
            raise HarnessError(f"{store.record_file(cell.cell)} {invalid}", invalid.remedy)
        if invalid is not None:
            say(f"{directory}: {cell.title} is left out: its record {invalid}")
        elif record is not None:
            slim = record.model_copy(update={"traceback": None, "trials": [], "provenance": {}})
            results[cell.cell] = Result(slim, _outcome(record))
    if strays := store.strays():
        say(f"{directory}: left out: {plural(len(strays), 'record')} of other plans")
    return Folder(store, plan, results)


def _outcome(record: Record) -> str:
    chosen = next((t.settings for t in record.trials if t.number == record.selected), None)
    further = {name: told.metrics for name, told in record.further.items()}
    told = (record.status, record.split_hash, record.metrics, further, chosen)
    return canonical({str(place): part for place, part in enumerate(told)})


# ── what has to be alike ──────────────────────────────────────────────────────────────────────


def _joined(folders: Sequence[Folder]) -> Plan:
    """The plan of all folders.

    Raises:
        HarnessError: their suites differ, in more than one of their lists.
    """
    first, *others = folders
    config = dict(first.plan.config)
    for other in others:
        known = other.plan.config
        differ = [
            name for name in sorted({*config, *known} - FREE) if config.get(name) != known.get(name)
        ]
        lists = all(isinstance(each.get(n), list) for n in differ for each in (config, known))
        if differ and not (len(differ) == 1 and differ[0] in AXES and lists):
            raise HarnessError(
                f"{first.name} and {other.name} can't be merged: their suites differ in "
                f"{', '.join(_told(name, config, known) for name in differ)}",
                APART,
            )
        for name in differ:
            config[name] = [*config[name], *(e for e in known[name] if e not in config[name])]
    cells = {cell.cell: cell for folder in folders for cell in folder.plan.cells}
    summaries: dict[str, str] = {}
    for folder in folders:
        summaries |= folder.plan.summaries
    known = {"config": config, "cells": [*cells.values()], "summaries": summaries}
    return first.plan.model_copy(update={**known, "command": None})


def _told(name: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    values = one.get(name), other.get(name)
    if any(isinstance(value, list) for value in values):
        return name
    return "; ".join(differences(*({name: value} for value in values)))


def _require_comparable(folders: Sequence[Folder]) -> None:
    comparable = Comparable()
    splits: dict[tuple[Any, ...], dict[str, tuple[Folder, Record]]] = {}
    for folder in folders:
        for record, _ in folder.results.values():
            comparable.add(record)
            if record.split_hash:
                place = (record.problem, record.protocol, record.ways, record.shots, record.seed)
                splits.setdefault(place, {}).setdefault(record.split_hash, (folder, record))
    differ = comparable.differing()
    for found in splits.values():
        if len({folder.name for folder, _ in found.values()}) > 1:
            (split, (one, record)), (another, (other, _)) = [*found.items()][:2]
            differ.append(
                f"the split of problem '{record.problem}' with seed {record.seed} is {split} in "
                f"{one.name} and {another} in {other.name}"
            )
    _refuse(folders, differ, APART)


def _require_one_meaning(folders: Sequence[Folder]) -> None:
    known: dict[tuple[str, str], tuple[Folder, Coordinates]] = {}
    differ = []
    for folder in folders:
        for cell in folder.plan.cells:
            first, there = known.setdefault((cell.title, cell.protocol), (folder, cell))
            if there.cell != cell.cell:
                pair = first.results.get(there.cell), folder.results.get(cell.cell)
                changes = (
                    [*differences(pair[0].record.meaning, pair[1].record.meaning)]
                    if pair[0] and pair[1]
                    else []
                )
                why = abridged(changes, 3, "; ") or "its data, its code or a version"
                differ.append(f"'{cell.title}' means something else in {folder.name} ({why})")
    _refuse(folders, differ, "Use the same data, plugins and version of the harness, and run again")


def _require_equal_results(folders: Sequence[Folder]) -> None:
    known: dict[str, tuple[Folder, Result]] = {}
    differ = []
    for folder in folders:
        for key, result in folder.results.items():
            if result.record.status != "ok":
                continue
            first, there = known.setdefault(key, (folder, result))
            if there.outcome != result.outcome:
                both = (each.record.metrics.get("accuracy") for each in (there, result))
                told = " and ".join(str(accuracy) for accuracy in both)
                differ.append(
                    f"'{result.record.title}' has other results in {folder.name} than in "
                    f"{first.name} (accuracy {told})"
                )
    _refuse(folders, differ, "Take the folder that you trust: leave the other out")


def _refuse(folders: Sequence[Folder], differ: Sequence[str], remedy: str) -> None:
    if differ:
        names = " and ".join(folder.name for folder in folders)
        raise HarnessError(f"{names} can't be merged: {abridged(differ, 3, '; ')}", remedy)


# ── what is taken ─────────────────────────────────────────────────────────────────────────────


def _worth(folder: Folder, cell: Coordinates) -> int:
    """How far a folder has come with a cell: it ended ok, it ended, it was stopped, or it was
    begun."""
    result = folder.results.get(cell.cell)
    if result is None:
        return int((folder.store.directory / f"partial/{cell.cell}.json").exists())
    return {"ok": 4, "interrupted": 2}.get(result.record.status, 3)


def _files(cell: Coordinates, result: Result | None) -> Iterator[str]:
    """What a cell has in its results folder, as far as it has come."""
    yield f"logs/{cell.cell}.log"
    yield from (f"partial/{cell.cell}{ending}" for ending in (".json", ".safetensors"))
    if result is not None:
        yield f"records/{cell.cell}.json"
        yield f"splits/{result.record.split_hash}.json"
        yield from cell_files(cell.cell, cell)
