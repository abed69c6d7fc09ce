"""The results folder of a suite: records written whole or not at all, read back as a table.

``plan.json`` says which cells there should be, ``records/KEY.json`` what became of each,
``predictions/KEY.npz`` holds its test predictions and ``splits/HASH.json`` the ids it was given.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from harness.errors import HarnessError
from harness.record.schema import SCHEMA_VERSION, Coordinates, Plan, Record

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

COLUMNS = (
    "cell suite strategy label dataset problem protocol ways shots backbone seed status reason "
    "accuracy accuracy_ci95 accuracy_val balanced_accuracy recall_macro f1_macro f1_weighted "
    "log_loss log_loss_val ece seconds_pretrain seconds_prepare seconds_features seconds_tune "
    "seconds_fit seconds_test seconds_total peak_device_bytes peak_host_bytes trainable_params "
    "total_params trials trials_failed split_hash cached oracle"
).split()
"""The tidy frame: one row a planned cell."""

PENDING = "pending"
"""The status, in the frame, of a planned cell that has no record yet."""


class Store:
    """The results folder of one suite."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    # ── writing ───────────────────────────────────────────────────────────────────────────────

    def write_plan(self, plan: Plan) -> None:
        self._write("plan.json", plan.model_dump_json(indent=1).encode())

    def write_record(self, record: Record) -> Path:
        return self._write(f"records/{record.cell}.json", record.model_dump_json(indent=1).encode())

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
        try:
            record = Record.model_validate_json(
                (self.directory / f"records/{cell}.json").read_bytes()
            )
        except (OSError, ValidationError):
            return None
        return record if (record.cell, record.schema_version) == (cell, SCHEMA_VERSION) else None

    def records(self) -> list[Record]:
        """Every readable record in the folder, those of earlier plans included."""
        stems = sorted(path.stem for path in (self.directory / "records").glob("*.json"))
        return [record for record in map(self.record, stems) if record]

    def planned(self) -> list[tuple[Coordinates, Record | None]]:
        """Each planned cell with its record, in the plan's order."""
        return [(cell, self.record(cell.cell)) for cell in self.plan().cells]

    def frame(self) -> pd.DataFrame:
        """The tidy frame: one row a planned cell, in the plan's order, ``COLUMNS`` first.

        A cell without a record has status ``pending``; what a cell does not have is NaN or None.
        """
        import pandas as pd

        rows = [_row(cell, self.record(cell.cell)) for cell in self.plan().cells]
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


def _row(cell: Coordinates, record: Record | None) -> dict[str, Any]:
    row: dict[str, Any] = {
        **{name: getattr(cell, name) for name in Coordinates.model_fields},
        "status": PENDING,
    }
    if record is None:
        return row
    return {
        **row,
        "status": record.status,
        "reason": record.reason,
        **record.metrics,
        **{f"seconds_{phase}": seconds for phase, seconds in record.seconds.items()},
        "peak_device_bytes": record.peak_device_bytes,
        "peak_host_bytes": record.peak_host_bytes,
        "trainable_params": record.trainable_params,
        "total_params": record.total_params,
        "trials": len(record.trials),
        "trials_failed": sum(trial.state in ("failed", "diverged") for trial in record.trials),
        "split_hash": record.split_hash,
        "cached": " ".join(record.cached) or None,
    }
