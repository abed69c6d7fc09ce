"""The results folder of a suite: records written whole or not at all, read back as a table.

``plan.json`` says which cells there should be, ``records/KEY.json`` what became of each,
``predictions/KEY.npz`` holds its test predictions, ``misclassified/KEY.json`` those of them that
were wrong and that a report shows (``predictions_file`` and ``misclassified_file`` say where those
of further tests are), and ``splits/HASH.json`` the ids it was given. What can't be believed is
moved to ``set-aside/`` when the suite goes on.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from harness.errors import HarnessError
from harness.hashing import short
from harness.record import elsewhere, reading
from harness.record.comparable import Comparable
from harness.record.files import CannotWrite, make_folder, move, write_atomically
from harness.record.reading import InvalidFile, Newer, Stale, Unreadable, checksum
from harness.record.schema import Coordinates, Further, Plan, Record

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

COLUMNS = (
    "cell suite strategy label dataset problem protocol ways shots backbone seed status reason "
    "accuracy accuracy_ci95 accuracy_val balanced_accuracy precision_macro precision_weighted "
    "recall_macro recall_weighted f1_macro f1_weighted auroc_macro log_loss log_loss_val ece "
    "seconds_pretrain seconds_prepare seconds_features seconds_tune seconds_fit seconds_test "
    "seconds_total peak_device_bytes peak_host_bytes joules flops_fit flops_predict "
    "throughput_one throughput_many trainable_params total_params trials trials_failed "
    "split_hash leaks notes cached oracle attempts log cpu_seconds_total baseline "
    "starts_from test"
).split()
"""The tidy frame: one row a planned cell, and one more for each of its further tests."""

PENDING = "pending"
"""The status, in the frame, of a planned cell that has no record yet; that of one whose record
does not count is its error's."""

IDENTITY = ("strategy", "dataset", "protocol", "shots", "ways", "seed")
"""What a record and its plan say alike; labels may have changed since."""

Meet: TypeAlias = Callable[[Coordinates, Record | None, InvalidFile | None], None]
"""Is shown a planned cell, its record, and why the one that is there does not count."""


def predictions_file(cell: str, test: str | None = None) -> str:
    """The name, in the results folder, of what a cell answered on its own test or on a further
    one, whose name may hold what no file's can."""
    return f"predictions/{_of_test(cell, test)}.npz"


def misclassified_file(cell: str, test: str | None = None) -> str:
    """The name of what a cell has kept of its errors on its own test or on a further one."""
    return f"misclassified/{_of_test(cell, test)}.json"


def cell_files(key: str, cell: Coordinates) -> list[str]:
    """What a finished cell leaves besides its record, under a key."""
    of_tests = [
        file(key, test)
        for file in (predictions_file, misclassified_file)
        for test in (None, *cell.tests)
    ]
    return [*of_tests, f"predictors/{key}.safetensors"]


def _of_test(cell: str, test: str | None) -> str:
    return f"{cell}.{short(test)}" if test else cell


class Rows(NamedTuple):
    """Some rows of the frame, and what their records have to have in common."""

    rows: list[dict[str, Any]]
    comparable: Comparable


class Store:
    """The results folder of one suite."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    # ── writing ───────────────────────────────────────────────────────────────────────────────

    def write_plan(self, plan: Plan) -> None:
        """Write a plan's own cells: what was made elsewhere is found by its records.

        Raises:
            HarnessError: a newer harness has planned here; its plan stays.
        """
        self._invalid_plan()
        own = [cell for cell in plan.cells if cell.strategy != elsewhere.ELSEWHERE]
        plan = plan.model_copy(update={"cells": own})
        write_atomically(self.directory / "plan.json", _sealed(plan))

    def write_record(self, record: Record) -> Path:
        path = self.record_file(record.cell)
        write_atomically(path, _sealed(record))
        return path

    def write_predictions(
        self, cell: str, arrays: Mapping[str, np.ndarray], test: str | None = None
    ) -> None:
        import io

        import numpy as np

        content = io.BytesIO()
        np.savez(content, allow_pickle=False, **dict(arrays))  # logits hardly compress
        write_atomically(self.directory / predictions_file(cell, test), content.getvalue())

    def write_misclassified(
        self, cell: str, errors: Sequence[Mapping[str, Any]], test: str | None = None
    ) -> None:
        content = json.dumps(errors).encode()
        write_atomically(self.directory / misclassified_file(cell, test), content)

    def write_split(self, digest: str, manifest: Mapping[str, Any]) -> None:
        """Write a split, unless it is there as it should be."""
        path, content = self.directory / f"splits/{digest}.json", json.dumps(manifest).encode()
        if not _holds(path, content):
            write_atomically(path, content)

    def path_for(self, name: str) -> Path:
        """Where to write another file of the folder; its parents exist."""
        path = self.directory / name
        make_folder(path.parent)
        return path

    # ── reading ───────────────────────────────────────────────────────────────────────────────

    def plan(self) -> Plan:
        """The plan of the last run, and after its cells what was made elsewhere.

        Raises:
            HarnessError: the folder holds none, or one that this version can't read.
        """
        path = self.directory / "plan.json"
        try:
            plan = reading.plan(path)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise HarnessError(
                f"{self.directory} holds no results (no plan.json)",
                "Name the folder that 'harness suite' wrote, such as results/quickstart",
            ) from error
        except InvalidFile as invalid:
            raise HarnessError(f"{path} {invalid}", invalid.remedy) from None
        more = elsewhere.cells(self.directory, plan.cells)
        return plan.model_copy(update={"cells": [*plan.cells, *more]})

    def record(self, cell: str) -> Record | None:
        """The record of a cell, or ``None`` where there is none that can be believed."""
        try:
            return self._read(cell)
        except InvalidFile:
            return None

    def judged(self, cell: Coordinates) -> tuple[Record | None, InvalidFile | None]:
        """The record of a planned cell, or why the one that is there does not count: it can't be
        believed, or is stale."""
        try:
            return self._planned(cell), None
        except InvalidFile as invalid:
            return None, invalid

    def _planned(self, cell: Coordinates) -> Record | None:
        record = self._read(cell.cell)
        if record is None:
            record = next(filter(None, map(self.record, cell.earlier)), None)
        for name in IDENTITY if record is not None else ():
            if getattr(cell, name) != getattr(record, name):
                raise InvalidFile(f"is that of another {name}")
        if record is not None:
            reading.require_threads(record)
        return record

    def _read(self, cell: str) -> Record | None:
        try:
            return reading.record(self.record_file(cell), cell)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def record_file(self, cell: str) -> Path:
        """Where the record of a cell is, or is to be."""
        return self.directory / f"records/{cell}.json"

    def records(self) -> list[Record]:
        """Every readable record in the folder, those of earlier plans included."""
        stems = sorted(path.stem for path in (self.directory / "records").glob("*.json"))
        return [record for record in map(self.record, stems) if record]

    def strays(self) -> list[str]:
        """The cells of other plans that the folder has records of."""
        planned = {cell.cell for cell in self.plan().cells}
        found = {path.stem for path in (self.directory / "records").glob("*.json")}
        return sorted(found - planned)

    def planned(self) -> list[tuple[Coordinates, Record | None]]:
        """Each planned cell with its record, in the plan's order."""
        return [(cell, self.judged(cell)[0]) for cell in self.plan().cells]

    def frame(self) -> pd.DataFrame:
        """The tidy frame: one row a planned cell, in the plan's order, ``COLUMNS`` first.

        A cell with further tests has one row more for each, with that one's name as ``test``, its
        metrics and leaks, and all else, costs too, as in the first row, whose ``test`` is None.
        A cell without a record has status ``pending``, one whose record can't be believed
        ``damaged``, and one whose record is no more what a run would give ``stale``; what a cell
        does not have is NaN or None.

        Raises:
            HarnessError: the cells are not of one budget, or not of one version of a dataset.
        """
        return self.together([self.rows(self.plan().cells)])

    def rows(self, cells: Iterable[Coordinates], meet: Meet | None = None) -> Rows:
        """A part of the frame: that of these cells.

        Args:
            meet: is shown each cell, as ``judged`` tells of it, for what else is to be taken from
                records that are read anyway.
        """
        comparable, rows = Comparable(), list[dict[str, Any]]()
        for cell in cells:
            record, invalid = self.judged(cell)
            if record is not None:
                comparable.add(record)
            rows += _rows(cell, record, invalid)
            if meet is not None:
                meet(cell, record, invalid)
        return Rows(rows, comparable)

    def together(self, parts: Iterable[Rows]) -> pd.DataFrame:
        """The frame of all its parts, in their order.

        Raises:
            HarnessError: as ``frame``.
        """
        import pandas as pd

        comparable, rows = Comparable(), []
        for part in parts:
            comparable.join(part.comparable)
            rows += part.rows
        comparable.require(self.directory)
        extra = sorted({name for row in rows for name in row} - set(COLUMNS))
        return pd.DataFrame(rows, columns=[*COLUMNS, *extra])

    def adopt(self, cells: Iterable[tuple[Coordinates, Mapping[str, Any]]]) -> int:
        """Give what was finished under an earlier key the key that its cell has now.

        Args:
            cells: each with what it means now.

        Returns:
            How many there were.
        """
        found = 0
        for cell, meaning in cells:
            if self.record_file(cell.cell).exists():
                continue
            record = next(filter(None, map(self.record, cell.earlier)), None)
            if record is None:
                continue
            before = record.cell
            for old, new in zip(cell_files(before, cell), cell_files(cell.cell, cell), strict=True):
                if (self.directory / old).exists():
                    write_atomically(self.directory / new, (self.directory / old).read_bytes())
            now = {"cell": cell.cell, "meaning": dict(meaning)}
            self.write_record(record.model_copy(update=now))
            found += 1
        return found

    # ── putting right ─────────────────────────────────────────────────────────────────────────

    def set_aside(self, cells: Iterable[Coordinates]) -> list[str]:
        """Move away what can't be believed: a plan, and records of ``cells``, which are pending
        again then. Tells in one line each what it was, why, and where it is now.

        Raises:
            HarnessError: a newer harness wrote here, or a file can't be got at; nothing is moved.
        """
        invalid = [*self._invalid(cells)]
        return [line for path, why in invalid for line in self._move_away(path, why)]

    def _invalid(self, cells: Iterable[Coordinates]) -> Iterator[tuple[Path, str]]:
        if invalid_plan := self._invalid_plan():
            yield self.directory / "plan.json", invalid_plan
        for cell in cells:
            try:
                self._planned(cell)
            except Stale:
                pass  # it may stay until there is another
            except (Newer, Unreadable) as invalid:
                path = self.record_file(cell.cell)
                raise HarnessError(f"{path} {invalid}", invalid.remedy) from None
            except InvalidFile as invalid:
                yield self.record_file(cell.cell), f"{cell.title}: its record {invalid}"

    def _invalid_plan(self) -> str:
        """Why the plan can't be believed; nothing where it can, or where there is none."""
        path = self.directory / "plan.json"
        try:
            reading.plan(path)
        except (FileNotFoundError, NotADirectoryError):
            pass
        except (Newer, Unreadable) as invalid:
            raise HarnessError(f"{path} {invalid}", invalid.remedy) from None
        except InvalidFile as invalid:
            return f"plan.json {invalid}"
        return ""

    def _move_away(self, path: Path, why: str) -> Iterator[str]:
        numbers = ("" if number == 0 else f".{number}" for number in count())
        targets = (self.directory / f"set-aside/{path.stem}{n}{path.suffix}" for n in numbers)
        target = next(target for target in targets if not os.path.lexists(target))
        try:
            move(path, target)
        except CannotWrite:
            if os.path.lexists(path):
                raise
            return  # another runner was faster
        yield f"{why}. It is now {target.relative_to(self.directory)}"


def _sealed(content: Plan | Record) -> bytes:
    """A file's JSON with its checksum as the last entry."""
    text = content.model_dump_json(indent=1)
    seal = checksum(json.loads(text))
    return f'{text.removesuffix("}").rstrip()},\n "checksum": "{seal}"\n}}'.encode()


def _holds(path: Path, content: bytes) -> bool:
    try:
        return path.stat().st_size == len(content) and path.read_bytes() == content
    except OSError:
        return False


def _rows(
    cell: Coordinates, record: Record | None, invalid: InvalidFile | None
) -> Iterator[dict[str, Any]]:
    yield {**_row(cell, record, invalid), "test": None}
    for test in cell.tests:
        of_test = record and _on(record, record.further.get(test, Further()))
        yield {**_row(cell, of_test, invalid), "test": test}


def _on(record: Record, test: Further) -> Record:
    """A record as if a further test had been the only one; what validation came to stays."""
    of_val = {name: value for name, value in record.metrics.items() if name.endswith("_val")}
    return record.model_copy(update={"metrics": test.metrics | of_val, "leaks": test.leaks})


def _row(cell: Coordinates, record: Record | None, invalid: InvalidFile | None) -> dict[str, Any]:
    row: dict[str, Any] = {
        name: getattr(cell, name) for name in Coordinates.model_fields if name != "tests"
    }
    if record is None:
        if invalid is None:
            return {**row, "status": PENDING, "reason": None}
        return {**row, "status": invalid.status, "reason": f"its record {invalid}"}
    return {
        **record.metrics,  # first: whatever a metric is called, it is none of the following
        **row,
        "status": record.status,
        "reason": record.reason,
        **{f"seconds_{phase}": seconds for phase, seconds in record.seconds.items()},
        "peak_device_bytes": record.peak_device_bytes,
        "peak_host_bytes": record.peak_host_bytes,
        "joules": record.joules,
        "cpu_seconds_total": record.cpu_seconds,
        **{f"flops_{part}": flops for part, flops in record.flops.items()},
        # Examples a second one by one, and with as many at once as were measured.
        "throughput_one": record.throughput.get("1"),
        "throughput_many": record.throughput.get(max(record.throughput, key=int, default="")),
        "trainable_params": record.trainable_params,
        "total_params": record.total_params,
        "trials": len(record.trials),
        "trials_failed": sum(trial.state in ("failed", "diverged") for trial in record.trials),
        "split_hash": record.split_hash,
        "leaks": ", ".join(f"{n} {where}" for where, n in record.leaks.items() if n) or None,
        "notes": "; ".join(record.notes) or None,
        "cached": " ".join(record.cached) or None,
        "attempts": record.attempts,
        "log": record.log,
    }
