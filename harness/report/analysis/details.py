"""Collect what a report needs of the records beyond the tidy frame.

Ten thousand records hold too much to keep whole, so each is read, used and dropped.
"""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from harness.record.reading import InvalidFile
from harness.record.schema import Coordinates, Record
from harness.record.store import PENDING, Rows, Store
from harness.report.analysis.faults import Fault, Faults, in_order, note
from harness.report.format import value_text
from harness.report.workers import Submit, serial

UNRECORDED = "(not recorded)"
"""What stands for a fact of provenance in records that do not have it."""

EXPECTED = {"started", "finished", "pretraining"}
"""Facts of provenance that differ between cells as they should; where any other does, a report
warns."""

MACHINE = {"host", "device", "cpu", "cores", "threads", "platform"}
"""Facts of provenance, by the first part of their name, that times depend on."""

PARTS = ("strategy", "backbone", "source", "problem", "budget")
"""The parts of a suite, in the order that their defaults are told in."""

SHARE = 500
"""Cells whose records one task reads."""

TRIAL = ["cell", "number", "state", "value", "seconds", "settings", "accuracy"]


@dataclass(frozen=True)
class Fact:
    """A fact of provenance: each value it has in the records, and in how many."""

    name: str
    values: Mapping[str, int]

    @property
    def warns(self) -> bool:
        return len(self.values) > 1 and self.name not in EXPECTED

    @property
    def of_machine(self) -> bool:
        """Whether it tells the machine, so that times of cells that differ can't be compared."""
        return self.name.partition(".")[0] in MACHINE


@dataclass(frozen=True)
class Default:
    """A setting of one part of the suite, written in it or not, and every value that it had."""

    part: str
    name: str
    setting: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Details:
    """``trials``: cell, number, state, value, seconds, settings, and whether ``accuracy`` is what
    the value is · ``curves``: cell, step, value, of the selected trial · ``tuned``: its settings,
    by cell · ``faults`` and ``facts``; broken cells before those that are pending or unsupported,
    most cells first · ``defaults``: what was in force, each in the order it was first met ·
    ``records``: by cell, its record as JSON without coordinates and ``meaning``."""

    trials: pd.DataFrame
    curves: pd.DataFrame
    tuned: Mapping[str, Mapping[str, Any]]
    faults: list[Fault]
    facts: list[Fact]
    defaults: list[Default]
    records: Mapping[str, str]


def collect(store: Store, submit: Submit = serial) -> tuple[pd.DataFrame, Details]:
    """Read all records once: the frame of :meth:`Store.frame`, and what goes beyond it.

    Raises:
        HarnessError: as ``Store.frame``.
    """
    cells = store.plan().cells
    read = [
        submit(_read, store, cells[first : first + SHARE]) for first in range(0, len(cells), SHARE)
    ]
    gathered, rows = _Gathered(), []
    for part in read:
        mine, more = part()
        rows.append(mine)
        gathered.join(more)
    return store.together(rows), Details(
        trials=pd.DataFrame(gathered.trials, columns=TRIAL),
        curves=pd.DataFrame(gathered.curves, columns=["cell", "step", "value"]),
        tuned=gathered.tuned,
        faults=in_order(gathered.faults.values()),
        facts=gathered.facts(),
        defaults=[
            Default(*place, tuple(values))
            for place, values in sorted(
                gathered.in_force.items(), key=lambda item: PARTS.index(item[0][0])
            )
        ],
        records=gathered.texts,
    )


def _read(store: Store, cells: Sequence[Coordinates]) -> tuple[Rows, _Gathered]:
    gathered = _Gathered()
    return store.rows(cells, gathered.add), gathered


@dataclass
class _Gathered:
    trials: list[tuple[Any, ...]] = field(default_factory=list)
    curves: list[tuple[str, int, float]] = field(default_factory=list)
    tuned: dict[str, dict[str, Any]] = field(default_factory=dict)
    faults: Faults = field(default_factory=dict)
    seen: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    in_force: dict[tuple[str, str, str], dict[str, None]] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)
    texts: dict[str, str] = field(default_factory=dict)
    records: int = 0

    def add(self, cell: Coordinates, record: Record | None, invalid: InvalidFile | None) -> None:
        if record is None:
            status, why = (invalid.status, f"its record {invalid}") if invalid else (PENDING, "")
            note(self.faults, cell, status, why)
            return
        self.records += bool(record.provenance)  # what was made elsewhere has none
        self.texts[cell.cell] = _text(record)
        for name, value in flat(record.provenance).items():
            self.seen[name][value] += 1
        self._defaults(cell, record)
        by_accuracy = "accuracy_val" in record.metrics or not record.metrics
        for trial in record.trials:
            # What was prepared had to be ready before the first trial, which always comes first.
            prepared = record.seconds.get("prepare", 0.0) if trial.number == 0 else 0.0
            seconds = trial.seconds + prepared
            tried = (trial.number, trial.state, trial.value, seconds, trial.settings)
            self.trials.append((cell.cell, *tried, by_accuracy))
            if trial.number == record.selected:
                self.tuned[cell.cell] = trial.settings
                if by_accuracy:
                    self.curves += [(cell.cell, step, value) for step, value in trial.curve]
        if record.status != "ok":
            told = record.status, record.reason, record.traceback, record.log
            note(self.faults, cell, *told)

    def _defaults(self, cell: Coordinates, record: Record) -> None:
        names = {"strategy": cell.label, "backbone": cell.backbone, "problem": cell.problem}
        specs = {part: record.config.get(f"{part}_spec") for part in PARTS[:-1]}
        specs["budget"] = record.config.get("budget")
        # The first trial's settings are the strategy's defaults, with the suite's over them.
        first = next((trial.settings for trial in record.trials if trial.number == 0), {})
        for part, spec in {**specs, "strategy": {**(specs["strategy"] or {}), **first}}.items():
            name = names.get(part, "")
            if not isinstance(spec, Mapping) or (told := f"{part}|{name}|{spec}") in self.known:
                continue
            self.known.add(told)
            for setting, value in flat(spec).items():
                if setting != "label":
                    self.in_force.setdefault((part, name, setting), {})[value] = None

    def join(self, more: _Gathered) -> None:
        """Add what was gathered from the cells that come next."""
        self.trials += more.trials
        self.curves += more.curves
        self.tuned |= more.tuned
        self.texts |= more.texts
        for told, fault in more.faults.items():
            self.faults.setdefault(told, replace(fault, cells=[])).cells.extend(fault.cells)
        for name, counts in more.seen.items():
            self.seen[name].update(counts)
        for place, values in more.in_force.items():
            self.in_force.setdefault(place, {}).update(values)
        self.records += more.records

    def facts(self) -> list[Fact]:
        for values in self.seen.values():
            if absent := self.records - values.total():
                values[UNRECORDED] = absent
        return [Fact(name, dict(values.most_common())) for name, values in self.seen.items()]


def _text(record: Record) -> str:
    apart = {*Coordinates.model_fields, "schema_version", "meaning"}
    text = record.model_dump_json(exclude=apart)
    if "NaN" in text or "Infinity" in text:  # perhaps in a name; looking is what takes long
        return json.dumps(finite(json.loads(text)))
    return text


def finite(tree: Any) -> Any:
    """Put words for numbers that JSON does not have."""
    if isinstance(tree, dict):
        return {name: finite(value) for name, value in tree.items()}
    if isinstance(tree, list):
        return [finite(value) for value in tree]
    return str(tree) if isinstance(tree, float) and not math.isfinite(tree) else tree


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Flatten a nested mapping to dotted names, such as ``versions.torch``."""
    found: dict[str, str] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value_text(value)
    return found
