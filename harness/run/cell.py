"""One cell, from its start to its record on disk, whatever happens in between."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import numpy as np
import torch

from harness.errors import one_line
from harness.executor import Emit
from harness.model.precision import products
from harness.model.threads import computing_with
from harness.plan.cell import Cell
from harness.record import provenance
from harness.record.files import CannotWrite
from harness.record.journal import Journal
from harness.record.schema import Coordinates, Record, Status
from harness.record.store import Store
from harness.record.trial_files import TrialFiles
from harness.run.experiment import Experiment
from harness.run.meters import Meters
from harness.run.opening import Opening
from harness.run.resources import Resources
from harness.run.seeding import seeded
from harness.run.shared_trials import SharedTrials
from harness.run.status import KEPT, classify
from harness.suite.problems import EpisodesProblem


def run_cell(
    cell: Cell,
    resources: Resources,
    store: Store,
    emit: Emit,
    attempts: int = 1,
    files: TrialFiles | None = None,
) -> Record:
    """Run a cell, or go on with it, and write its record, whatever happens in it.

    Only a fault of the harness's own machine, such as a full disk, gets out, and an interrupt,
    which leaves a record too.

    Args:
        attempts: how often the cell was begun, this time included.
        files: of its trials, where other processes do some of them.
    """
    emit("harness_cell_started", {"cell": cell})
    started = datetime.now(UTC)
    process = os.getpid()
    meters = Meters(resources.device)
    experiment = Experiment(cell, resources, store, meters, emit, files)
    reason, trace = None, None
    status: Status
    interrupt: KeyboardInterrupt | None = None
    with _seeded(cell.seed, resources.device), computing_with(cell.budget.threads):
        with meters:
            try:
                experiment.run()
                status = "ok"
            except KeyboardInterrupt as error:
                status, interrupt = "interrupted", error
                reason = f"stopped; finished trials: {len(experiment.done.trials)}"
            except CannotWrite:
                raise
            except BaseException as error:
                status, reason = classify(error, experiment.plugin_file)
                trace = traceback.format_exc()
        if os.getpid() != process:  # a copy that the strategy forked and let go: it has no say
            os._exit(1)
        if status == "ok":  # after the meters have stopped
            try:
                experiment.account()
            except Exception as error:  # a result does not depend on what could be counted
                told = classify(error, experiment.plugin_file)[1]
                reason, trace = f"its FLOPs could not be counted: {told}", traceback.format_exc()
    facts, several = experiment.facts, cell.backbone_spec.pretrainings
    # Not looked at: what a plugin gave, and no file can hold, is told when it is written.
    record = Record.model_construct(
        **{name: getattr(cell, name) for name in Coordinates.model_fields},
        status=status,
        reason=reason,
        traceback=trace,
        attempts=attempts,
        log=experiment.journal.logged(),
        config=cell.config(),
        meaning=cell.meaning,
        split_hash=facts.split_hash,
        trials=experiment.done.trials,
        selected=facts.selected,
        metrics=facts.metrics if status == "ok" else {},
        further=facts.further if status == "ok" else {},
        seconds=experiment.seconds(),
        cached=experiment.reused(),
        **meters.read(),
        trainable_params=facts.trainable_params,
        total_params=facts.total_params,
        flops=facts.flops,
        throughput=facts.throughput,
        leaks=facts.leaks,
        notes=facts.notes,
        provenance={
            **provenance.of_run(str(resources.device), cell.budget.threads),
            "precision": facts.precision,
            "batch_norm": cell.batch_norm,
            **({"pretraining": f"{cell.seed % several + 1} of {several}"} if several > 1 else {}),
            "inputs": " and ".join(sorted(facts.inputs)),
            "started": started.isoformat(timespec="seconds"),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        },
    )
    record = _written(record, store)
    if record.status not in KEPT:
        experiment.journal.drop()
    try:
        resources.features.keep()
    except Exception as error:  # a result does not depend on what others could be spared
        print(f"harness: activations were not kept: {one_line(error)}", file=sys.stderr)
    emit("harness_cell_finished", {"cell": cell, "record": record})
    if interrupt is not None:
        raise interrupt
    return record


def help_cell(
    cell: Cell, resources: Resources, files: TrialFiles, over: Callable[[], bool]
) -> None:
    """Do trials of a cell that another process runs, until it is ``over``; what comes of them is in
    ``files``, and the record is the other's."""
    meters = Meters(resources.device)
    journal = Journal(files.directory, f"{cell.cell}.help-{os.getpid()}")
    opening = Opening(cell, resources, journal, meters, _silent, files)
    with _seeded(cell.seed, resources.device), computing_with(cell.budget.threads), meters:
        backbone, loaded = opening.open()
        problem = cell.problem_spec
        assert not isinstance(problem, EpisodesProblem)
        with products(opening.run_context.precision):
            trials = opening.trials
            assert isinstance(trials, SharedTrials)
            trials.help(backbone, opening.one_task(problem, loaded, backbone).val, over)


def _silent(hook: str, arguments: Mapping[str, Any]) -> None:
    """What a helper does is told by the process that takes it over."""


def _written(record: Record, store: Store) -> Record:
    """Write a record. What no file can hold of it, such as a tensor that a plugin gave for a
    number, is left out, and the record then is that of a failure which says so.

    Raises:
        CannotWrite: the file can't be written.
    """
    try:
        store.write_record(record)
        return record
    except CannotWrite:
        raise
    except Exception:
        invalid = dict(_not_json(record))
    defaults = {
        name: Record.model_fields[name].get_default(call_default_factory=True) for name in invalid
    }
    told = "; ".join(f"{name} ({reason})" for name, reason in invalid.items())
    reason = f"its record can't hold what it was given for {told}"
    failed = record.model_copy(
        update={**defaults, "status": "failed", "reason": reason, "metrics": {}}
    )
    store.write_record(failed)
    return failed


def _not_json(record: Record) -> Iterator[tuple[str, str]]:
    """The entries that JSON does not hold, each with why."""
    for name in Record.model_fields:
        try:
            record.model_dump_json(include={name})
        except Exception as error:
            yield name, one_line(error)


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed the global generators for code that uses them, and give them back afterwards."""
    numpy_state = np.random.get_state()
    with seeded(seed, device):
        np.random.seed(seed % 2**32)
        try:
            yield
        finally:
            np.random.set_state(numpy_state)
