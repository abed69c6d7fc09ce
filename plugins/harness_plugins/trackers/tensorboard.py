"""``tensorboard``: what TensorBoard shows of a run, while it runs and afterwards."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from harness.api import Tracker, hookimpl

if TYPE_CHECKING:
    from torch.utils.tensorboard.writer import SummaryWriter

    from harness.api import Cell, Record, Trial

METRICS = ("accuracy", "log_loss")
"""What of a cell's test result is shown beside its hyperparameters."""


class TensorBoard(Tracker):
    """Writes event files: ``tensorboard --logdir results/NAME/tensorboard`` shows them.

    A cell has a folder with two runs. ``trials`` holds the learning curve of each trial by step,
    and what the trials were selected by, their loss and seconds by their number. ``result`` holds
    the test result, with the settings that were selected and the cell's coordinates as
    hyperparameters, so that the HPARAMS tab compares cells; of a cell that is not ok it holds a
    text that says why. A cell that runs again replaces what it had.
    """

    name: ClassVar[str] = "tensorboard"
    requires: ClassVar[Mapping[str, str]] = {"tensorboard": "transfer-harness[tensorboard]"}

    def __init__(self) -> None:
        self._folder = Path()
        self._trials: dict[str, SummaryWriter] = {}

    @hookimpl
    def harness_suite_started(
        self, suite: str, directory: Path, cells: Sequence[Cell], todo: int
    ) -> None:
        self._folder = directory / "tensorboard"

    @hookimpl
    def harness_cell_started(self, cell: Cell) -> None:
        shutil.rmtree(self._of(cell), ignore_errors=True)
        self._trials[cell.cell] = _writer(self._of(cell) / "trials")

    @hookimpl
    def harness_trial_finished(self, cell: Cell, trial: Trial) -> None:
        writer = self._trials[cell.cell]
        for step, accuracy in trial.curve:
            writer.add_scalar(f"accuracy_val_by_step/trial_{trial.number}", accuracy, step)
        scores = {"value": trial.value, "loss": trial.loss, "seconds": trial.seconds}
        for name, score in scores.items():
            if score is not None:
                writer.add_scalar(f"by_trial/{name}", score, trial.number)
        writer.flush()

    @hookimpl
    def harness_cell_finished(self, cell: Cell, record: Record) -> None:
        if cell.cell in self._trials:  # a worker may be lost before its cell has started
            self._trials.pop(cell.cell).close()
        with _writer(self._of(cell) / "result") as writer:
            _write_result(writer, record)

    @hookimpl
    def harness_suite_finished(self, suite: str, directory: Path) -> None:
        while self._trials:
            self._trials.popitem()[1].close()

    def _of(self, cell: Cell) -> Path:
        """A cell's folder: its title, for people, and its key, which alone is unique."""
        title = re.sub(r"[^\w .,()=+-]+", "_", cell.title, flags=re.ASCII)
        return self._folder / f"{title[:150]} {cell.cell[:8]}"


def _writer(folder: Path) -> SummaryWriter:
    from torch.utils.tensorboard.writer import SummaryWriter

    return SummaryWriter(str(folder))


def _write_result(writer: SummaryWriter, record: Record) -> None:
    """A session of the HPARAMS tab: its start, its metrics and, if it succeeded, its end.

    ``add_hparams`` would describe an experiment in each run, of which TensorBoard believes the
    first it finds: hyperparameters that this one cell lacks would not be shown of any. Without
    a description it collects them from all sessions.
    """
    from torch.utils.tensorboard.summary import hparams

    files: Any = writer.file_writer
    _, start, end = hparams(_hyperparameters(record), {})
    files.add_summary(start)
    if record.status != "ok":
        writer.add_text("status", f"{record.status}: {record.reason}")
        return
    shown = {name: record.metrics[name] for name in METRICS}
    for name, value in {**shown, "seconds_total": record.seconds["total"]}.items():
        writer.add_scalar(name, value)
    files.add_summary(end)


def _hyperparameters(record: Record) -> dict[str, bool | int | float | str]:
    selected = [trial.settings for trial in record.trials if trial.number == record.selected]
    settings: dict[str, Any] = selected[0] if selected else {}
    coordinates = ("label", "problem", "shots", "backbone", "seed")
    everything = {**settings, **{name: getattr(record, name) for name in coordinates}}
    return {
        name: value if isinstance(value, bool | int | float | str) else json.dumps(value)
        for name, value in everything.items()
    }


@hookimpl
def harness_trackers() -> list[type[Tracker]]:
    return [TensorBoard]
