"""The results folder of a suite: records written whole or not at all, read back as a table.

``plan.json`` says which cells there should be, ``records/KEY.json`` what became of each,
``predictions/KEY.npz`` holds its test predictions and ``splits/HASH.json`` the ids it was given.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from harness.errors import HarnessError
from harness.record.alike import Alike
from harness.record.schema import SCHEMA_VERSION, Coordinates, Plan, Record

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
    "split_hash leaks cached oracle"
).split()
"""The tidy frame: one row a planned cell."""

PENDING, DAMAGED = "pending", "damaged"
"""The status, in the frame, of a planned cell that has no record yet, or one that can't be
believed."""

IDENTITY = ("strategy", "dataset", "protocol", "shots", "ways", "seed")
"""What a record and its plan say alike; labels may have changed since."""


class Store:
    """The results folder of one suite."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    # ── writing ───────────────────────────────────────────────────────────────────────────────

    def write_plan(self, plan: Plan) -> None:
        self._write("plan.json", plan.model_dump_json(indent=1).encode())

    def write_record(self, record: Record) -> Path:
        content = json.loads(record.model_dump_json())
        content["checksum"] = checksum(content)
        text = json.dumps(content, indent=1)
        return self._write(f"records/{record.cell}.json", text.encode())

    def write_predictions(self, cell: str, arrays: Mapping[str, np.ndarray]) -> None:
        import io

        import numpy as np

        content = io.BytesIO()
        np.savez_compressed(content, allow_pickle=False, **dict(arrays))
        self._write(f"predictions/{cell}.npz", content.getvalue())

    def write_split(self, digest: str, manifest: Mapping[str, Any]) -> None:
        if not (self.directory / f"splits/{digest}.json").exists():
            self._write(f"splits/{digest}.json", json.dumps(manifest).encode())

    def path_for(self, name: str) -> Path:
        """Where to write another file of the folder; its parents exist."""
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _write(self, name: str, content: bytes) -> Path:
        path = self.directory / name
        write_atomically(path, content)
        return path

    # ── reading ───────────────────────────────────────────────────────────────────────────────

    def plan(self) -> Plan:
        """The plan of the last run.

        Raises:
            HarnessError: the folder holds none, or one that this version can't read.
        """
        path = self.directory / "plan.json"
        try:
            plan = Plan.model_validate_json(path.read_bytes())
        except (FileNotFoundError, NotADirectoryError) as error:
            raise HarnessError(
                f"{self.directory} holds no results (no plan.json)",
                "Name the folder that 'harness suite' wrote, such as results/quickstart",
            ) from error
        except ValidationError:
            plan = None
        if plan is None or plan.schema_version != SCHEMA_VERSION:
            raise HarnessError(
                f"{path} is damaged or was written by another version of the harness",
                "Run the suite again: finished cells are kept",
            )
        return plan

    def record(self, cell: str) -> Record | None:
        """The record of a cell, or ``None`` where there is none that can be believed."""
        return self._read(cell)[0]

    def judged(self, cell: Coordinates) -> tuple[Record | None, str]:
        """The record of a planned cell, or why the one that is there can't be believed."""
        record, doubt = self._read(cell.cell)
        if record is not None:
            differ = [name for name in IDENTITY if getattr(cell, name) != getattr(record, name)]
            if differ:
                return None, f"its record is that of another {differ[0]}"
        return record, doubt

    def _read(self, cell: str) -> tuple[Record | None, str]:
        try:
            content = json.loads((self.directory / f"records/{cell}.json").read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return None, ""
        except (OSError, ValueError, RecursionError):
            return None, "its record can't be read"
        if not isinstance(content, dict):
            return None, "its record is none"
        if content.get("schema_version") != SCHEMA_VERSION:
            return None, "its record was written by another version of the harness"
        if content.pop("checksum", None) != checksum(content):
            return None, "its record was changed after it was written"
        try:
            record = Record.model_validate(content)
        except ValidationError as error:
            return None, f"its record is not a valid one: {error.errors()[0]['msg']}"
        if record.cell != cell:
            return None, f"its record is that of another cell, {record.cell}"
        return record, ""

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

        A cell without a record has status ``pending``, and one whose record can't be believed
        has ``damaged``; what a cell does not have is NaN or None.

        Raises:
            HarnessError: the cells are not of one budget, or not of one version of a dataset.
        """
        import pandas as pd

        alike, rows = Alike(), []
        for cell in self.plan().cells:
            record, doubt = self.judged(cell)
            if record is not None:
                alike.add(record)
            rows.append(_row(cell, record, doubt))
        alike.require(self.directory)
        extra = sorted({name for row in rows for name in row} - set(COLUMNS))
        return pd.DataFrame(rows, columns=[*COLUMNS, *extra])


def write_atomically(path: Path, content: bytes) -> None:
    """Write ``content`` so that a reader, or a crash, sees the old file or the new one, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def checksum(content: Mapping[str, Any]) -> str:
    """SHA-256 of a record's JSON without its checksum: it tells an edited record from the one that
    was written. It is no signature."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _row(cell: Coordinates, record: Record | None, doubt: str) -> dict[str, Any]:
    row: dict[str, Any] = {name: getattr(cell, name) for name in Coordinates.model_fields}
    if record is None:
        return {**row, "status": DAMAGED if doubt else PENDING, "reason": doubt or None}
    return {
        **row,
        "status": record.status,
        "reason": record.reason,
        **record.metrics,
        **{f"seconds_{phase}": seconds for phase, seconds in record.seconds.items()},
        "peak_device_bytes": record.peak_device_bytes,
        "peak_host_bytes": record.peak_host_bytes,
        "joules": record.joules,
        **{f"flops_{part}": flops for part, flops in record.flops.items()},
        **_throughput(record),
        "trainable_params": record.trainable_params,
        "total_params": record.total_params,
        "trials": len(record.trials),
        "trials_failed": sum(trial.state in ("failed", "diverged") for trial in record.trials),
        "split_hash": record.split_hash,
        "leaks": ", ".join(f"{n} {where}" for where, n in record.leaks.items() if n) or None,
        "cached": " ".join(record.cached) or None,
    }


def _throughput(record: Record) -> dict[str, float]:
    """Examples a second one by one, and with as many at once as were measured."""
    if not record.throughput:
        return {}
    most = max(record.throughput, key=int)
    return {"throughput_one": record.throughput["1"], "throughput_many": record.throughput[most]}
