"""Run the cells of a bundle again, and tell how far they agree with what it holds."""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from harness.data.archives import is_archive, unpacked
from harness.errors import HarnessError, abridged, located
from harness.hashing import sha256
from harness.plan.cell import Cell
from harness.plan.cells import Planned, plan
from harness.plan.datasets import Datasets
from harness.plan.keys import differences
from harness.plan.why import narrowed
from harness.record.elsewhere import ELSEWHERE
from harness.record.files import read_file, write_atomically
from harness.record.schema import Coordinates, Record
from harness.record.store import Store
from harness.registry import Registry
from harness.share import lock
from harness.share.bundle import ENVIRONMENT
from harness.suite.read import override, parse

Verdict: TypeAlias = Literal["equal", "close", "differs", "not run"]

TOLERANCE = 1e-5
"""How far measures may differ, as fractions or in nats, by how a machine rounds: a test of 10,000
examples has accuracies that are 1e-4 apart."""

MAKE = "Give a file that 'harness bundle' made"

MARK = "reproduces.txt"
"""The file, in the new results folder, that tells of which bundle it is."""


@dataclass(frozen=True)
class Agreement:
    """How a cell came out again: ``difference`` is the largest of all its measures, of the
    ``measure``, or None where it did not end in the same way; ``why`` tells, in words, what else is
    known."""

    title: str
    cell: str
    verdict: Verdict
    difference: float | None = None
    measure: str = ""
    why: str = ""

    @property
    def agrees(self) -> bool:
        return self.verdict in ("equal", "close")


@dataclass(frozen=True)
class Rerun:
    """What is to be run: cells of a suite as planned now, each with its record of then; and the
    records of cells that the suite does not have any more."""

    planned: Planned
    pairs: Sequence[tuple[Cell, Record]]
    lost: Sequence[Record]

    @property
    def cells(self) -> list[Cell]:
        return [cell for cell, _ in self.pairs]

    @property
    def keys(self) -> frozenset[str]:
        return frozenset(cell.cell for cell in self.cells)

    def agreements(self, store: Store) -> list[Agreement]:
        """Compare with what the cells came to in a new results folder."""
        found = [compared(record, store.judged(cell)[0]) for cell, record in self.pairs]
        gone = "the suite has no such cell any more"
        return found + [Agreement(r.title, r.cell, "not run", why=gone) for r in self.lost]


def opened(
    bundle: Path,
    only: int | None,
    overrides: Sequence[str],
    registry: Registry,
    say: Callable[[str], None],
) -> Rerun:
    """Open a bundle, and plan its cells or, of so many, a sample that is always the same.

    Args:
        overrides: of the suite, such as where its data are here.
        say: is told, in a line each, what differs here, and what can't be run again.

    Raises:
        HarnessError: it is no bundle, or the suite can't be run here.
    """
    if not is_archive(bundle):
        raise HarnessError(f"there is no bundle {located(bundle)}", MAKE)
    store = Store(unpacked(bundle))
    known = store.plan()
    try:
        locked = read_file(store.directory / ENVIRONMENT, 2**24).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise HarnessError(f"{bundle} does not tell its environment", MAKE) from error
    if other := [*lock.differences(locked)]:
        say(f"versions differ from the bundle's: {abridged(other, 8, '; ')}")
    records = [record for _, record in store.planned() if record is not None]
    if apart := [record for record in records if record.strategy == ELSEWHERE]:
        say(f"made elsewhere, and not run: {abridged(dict.fromkeys(r.label for r in apart))}")
    chosen = _sample([record for record in records if record.strategy != ELSEWHERE], only)
    if not chosen:
        raise HarnessError(f"no cell of {bundle} has a record", "There is nothing to run again")
    config = copy.deepcopy(known.config)
    for each in overrides:
        override(config, each)
    suite = narrowed(parse(config, str(bundle), registry), chosen)
    planned = plan(suite, registry, Datasets(registry), str(bundle))
    pairs, lost = [], []
    by_key = {cell.cell: cell for cell in planned.cells}
    by_place = {_place(cell): cell for cell in planned.cells}
    for record in chosen:
        cell = by_key.get(record.cell) or by_place.get(_place(record))
        if cell is None:
            lost.append(record)
        else:
            pairs.append((cell, record))
    return Rerun(planned, pairs, lost)


def _sample(records: Sequence[Record], only: int | None) -> list[Record]:
    """So many of the records, in their order, drawn by a hash of their keys."""
    drawn = {r.cell for r in sorted(records, key=lambda r: sha256(f"sample:{r.cell}"))[:only]}
    return [record for record in records if record.cell in drawn]


def _place(cell: Coordinates) -> tuple[str, str]:
    return cell.title, cell.protocol


def claim(bundle: Path, to: Path) -> None:
    """Take a folder for the results of a bundle's cells: a new one, or one that was begun for it.

    Raises:
        HarnessError: there is something else, whose records are not to be taken for reproduced.
    """
    with bundle.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest().encode()
    try:
        mine = read_file(to / MARK, 2**10) == digest
    except OSError:
        mine = not to.exists()
    if not mine:
        raise HarnessError(f"{to} is there already", "Give a folder that is not: --to DIR")
    write_atomically(to / MARK, digest)


# ── how far they agree ────────────────────────────────────────────────────────────────────────


def compared(before: Record, again: Record | None) -> Agreement:
    """Compare how a cell ended, and all its measures, with how it did before."""
    if again is None:
        return Agreement(before.title, before.cell, "not run", why="it has not ended")
    changes = differences(before.meaning, again.meaning) if before.cell != again.cell else ()
    why = abridged(changes, 3, "; ")
    if before.status != again.status:
        ended = f"{before.status} there, {again.status} here"
        told = "; ".join(filter(None, [ended, again.reason, why]))
        return Agreement(before.title, before.cell, "differs", None, "status", told)
    measure, largest = max(_apart(before, again), key=lambda each: each[1], default=("", 0.0))
    verdict: Verdict = "equal" if largest == 0 else "close" if largest <= TOLERANCE else "differs"
    return Agreement(before.title, before.cell, verdict, largest, measure if largest else "", why)


def _apart(before: Record, again: Record) -> Iterator[tuple[str, float]]:
    """Each measure of the problem's own test, of validation and of further tests, and how far it is
    from what it was: infinitely where only one has it."""
    one, other = _measures(before), _measures(again)
    for name in one.keys() | other.keys():
        left, right = one.get(name, math.inf), other.get(name, math.inf)
        same = left == right or (math.isnan(left) and math.isnan(right))
        apart = 0.0 if same else abs(left - right)
        yield name, math.inf if math.isnan(apart) else apart


def _measures(record: Record) -> Mapping[str, float]:
    further = {
        f"{name} on {test}": value
        for test, told in record.further.items()
        for name, value in told.metrics.items()
    }
    return {**record.metrics, **further}
