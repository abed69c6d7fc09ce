"""``mlflow``: runs in an MLflow tracking store, while they run and afterwards."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from harness.api import Cell, Record, Tracker, Trial, hookimpl
from harness_plugins.trackers._told import Scalar, parameters, scores, selected, tried

if TYPE_CHECKING:
    from mlflow import MlflowClient

ENDS = {"ok": "FINISHED", "interrupted": "KILLED"}
"""MLflow's words for ends; all else is ``FAILED``."""


class MLflow(Tracker):
    """Makes an MLflow run of each cell, in an experiment of the suite's name.

    The store is where ``MLFLOW_TRACKING_URI`` says, or else ``mlflow.db`` in the results folder.
    Trials are steps of ``trial/value``, ``trial/loss`` and ``trial/seconds``, and their learning
    curves are ``curve/N``. A cell that runs again is another run.
    """

    name: ClassVar[str] = "mlflow"
    requires: ClassVar[Mapping[str, str]] = {"mlflow": "transfer-harness[mlflow]"}

    def __init__(self) -> None:
        self._client: MlflowClient | None = None
        self._experiment = ""
        self._runs: dict[str, str] = {}

    @hookimpl
    def harness_suite_started(
        self, suite: str, directory: Path, cells: Sequence[Cell], todo: int
    ) -> None:
        from mlflow import MlflowClient

        local = f"sqlite:///{directory / 'mlflow.db'}"
        directory.mkdir(parents=True, exist_ok=True)
        given = os.environ.get("MLFLOW_TRACKING_URI")
        self._client = MlflowClient(tracking_uri=given or local)
        known = self._client.get_experiment_by_name(suite)
        # MLflow would note the current folder as the place of files.
        place = None if given else (directory / "mlflow").as_uri()
        self._experiment = (
            known.experiment_id if known else self._client.create_experiment(suite, place)
        )

    @hookimpl
    def harness_cell_started(self, cell: Cell) -> None:
        self._end(cell.cell, "KILLED")  # an attempt that was lost
        self._begin(cell)

    @hookimpl
    def harness_trial_finished(self, cell: Cell, trial: Trial) -> None:
        points = [(name, value, trial.number) for name, value in tried(trial).items()]
        points += [(f"curve/{trial.number}", value, step) for step, value in trial.curve]
        self._log(self._runs[cell.cell], points)

    @hookimpl
    def harness_cell_finished(self, cell: Cell, record: Record) -> None:
        if cell.cell not in self._runs:  # a worker may be lost before its cell has started
            self._begin(cell)
        run = self._runs[cell.cell]
        points = [(name, value, len(record.trials)) for name, value in scores(record).items()]
        self._log(run, points, selected(record))
        client = self._connected()
        client.set_tag(run, "harness.status", record.status)
        if record.reason:
            client.set_tag(run, "harness.reason", record.reason)
        self._end(cell.cell, ENDS.get(record.status, "FAILED"))

    @hookimpl
    def harness_suite_finished(self, suite: str, directory: Path) -> None:
        for cell in list(self._runs):
            self._end(cell, "KILLED")

    def _connected(self) -> MlflowClient:
        assert self._client is not None, "a suite starts before its cells"
        return self._client

    def _begin(self, cell: Cell) -> None:
        run = self._connected().create_run(self._experiment, run_name=cell.title)
        self._runs[cell.cell] = run.info.run_id
        self._log(run.info.run_id, [], parameters(cell))

    def _log(
        self,
        run: str,
        points: Sequence[tuple[str, float, int]],
        params: Mapping[str, Scalar] | None = None,
    ) -> None:
        from mlflow.entities import Metric, Param

        now = int(1000 * time.time())
        metrics: list[Any] = [Metric(name, value, now, step) for name, value, step in points]
        told: list[Any] = [Param(name, str(value)) for name, value in (params or {}).items()]
        self._connected().log_batch(run, metrics=metrics, params=told)

    def _end(self, cell: str, status: str) -> None:
        if (run := self._runs.pop(cell, None)) is not None:
            self._connected().set_terminated(run, status)


@hookimpl
def harness_trackers() -> list[type[Tracker]]:
    return [MLflow]
