"""Run a suite: what has a record is done, the rest goes to the executor."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence

import torch

from harness.api import Executor
from harness.errors import HarnessError
from harness.plan.cells import Cell, Planned
from harness.record.store import Store
from harness.run.events import Events
from harness.run.job import CellJob, Place


def unfinished(cells: Sequence[Cell], store: Store, retry: Collection[str] = ()) -> list[Cell]:
    """The cells without a record, or with one whose status is to be tried again."""
    records = {cell.cell: store.record(cell.cell) for cell in cells}
    return [
        cell for cell in cells if (record := records[cell.cell]) is None or record.status in retry
    ]


def run_suite(
    planned: Planned,
    chosen: Sequence[Cell],
    executor: Executor,
    place: Place,
    events: Events,
    *,
    workers: int,
    retry: Collection[str] = (),
) -> Store:
    """Run the chosen cells that are not done, and leave a record of each."""
    store = Store(place.directory)
    store.write_plan(planned.to_json())
    todo = unfinished(chosen, store, retry)
    suite = planned.suite.name
    events.emit(
        "harness_suite_started",
        {"suite": suite, "directory": place.directory, "cells": chosen, "todo": len(todo)},
    )
    try:
        executor.run([CellJob(cell, place) for cell in todo], events.emit, workers=workers)
    finally:
        events.emit("harness_suite_finished", {"suite": suite, "directory": place.directory})
    return store


def pick_device(asked: str) -> str:
    """``auto`` is the first GPU if there is one.

    Raises:
        HarnessError: there is no such device.
    """
    if asked == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(asked)
    except RuntimeError:
        raise HarnessError(
            f"--device {asked}: there is no such kind of device", "Use auto, cpu, cuda or cuda:N"
        ) from None
    if device.type not in ("cpu", "cuda"):
        raise HarnessError(f"--device {asked} is not supported", "Use auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise HarnessError(
            f"--device {asked}: this machine has {torch.cuda.device_count()} CUDA devices",
            "Use --device cpu",
        )
    return asked


def threads_each(workers: int) -> int:
    """CPU threads a worker, so that workers don't fight over cores; ``OMP_NUM_THREADS`` wins."""
    if (given := os.environ.get("OMP_NUM_THREADS", "")).isdigit():
        return max(1, int(given))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, (cores or 1) // workers)
