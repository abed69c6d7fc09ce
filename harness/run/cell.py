"""One cell, from its start to its record on disk, whatever happens in between."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import numpy as np
import torch

from harness.api import Emit
from harness.plan.cells import Cell
from harness.record import provenance
from harness.record.schema import Record, Status
from harness.record.store import Store
from harness.run.ends import classify
from harness.run.experiment import Experiment
from harness.run.meters import Energy, PeakMemory
from harness.run.workbench import Workbench


def run_cell(cell: Cell, bench: Workbench, store: Store, emit: Emit) -> Record:
    """Run a cell and write its record, whatever happens in it.

    Only an interrupt, or a fault of the harness's own machine such as a full disk, gets out.
    """
    emit("harness_cell_started", {"cell": cell})
    started = datetime.now(UTC)
    experiment = Experiment(cell, bench, store, emit)
    reason, trace = None, None
    status: Status
    with PeakMemory(bench.device) as peak, Energy(bench.device) as energy:
        try:
            with _seeded(cell.seed):
                experiment.run()
            status = "ok"
        except Exception as error:
            status, reason = classify(error, experiment.plugin_file)
            trace = traceback.format_exc()
    if status == "ok":  # after the meters have stopped
        try:
            with _seeded(cell.seed):
                experiment.account()
        except Exception as error:  # a result does not depend on what could be counted
            told = classify(error, experiment.plugin_file)[1]
            reason, trace = f"its FLOPs could not be counted: {told}", traceback.format_exc()
    record = experiment.record.model_copy(
        update={
            "status": status,
            "reason": reason,
            "traceback": trace,
            "metrics": experiment.record.metrics if status == "ok" else {},
            "seconds": experiment.seconds(),
            "peak_host_bytes": peak.host,
            "peak_device_bytes": peak.on_device,
            "joules": energy.joules,
            "provenance": {
                **provenance.of_run(str(bench.device), torch.get_num_threads()),
                "started": started.isoformat(timespec="seconds"),
                "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            },
        }
    )
    store.write_record(record)
    emit("harness_cell_finished", {"cell": cell, "record": record})
    return record


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed the global generators for code that uses them, and give them back afterwards."""
    numpy_state = np.random.get_state()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)
        try:
            yield
        finally:
            np.random.set_state(numpy_state)
