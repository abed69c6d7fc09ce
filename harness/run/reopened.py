"""The predictor that a finished cell selected, back again: from its file, or trained once more."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.data.loaded import Loaded
from harness.data.task import Task
from harness.errors import HarnessError
from harness.model.backbone import Backbone
from harness.model.precision import products
from harness.plan.cell import Cell
from harness.predictor import Predictor
from harness.record.arrays import read_arrays
from harness.record.journal import Journal
from harness.record.reading import InvalidFile
from harness.record.schema import Coordinates, Record
from harness.record.store import Store, predictions_file
from harness.run.meters import Meters
from harness.run.opening import OneTask, Opening
from harness.run.resources import Resources
from harness.run.seeding import seeded
from harness.run.threads import computing_with
from harness.suite.schema import EpisodesProblem


@dataclass(frozen=True)
class Reopened:
    """A finished cell with what it selected.

    ``logits``: what the predictor answers to the validation examples now, float32 ``[V, outputs]``,
    and ``before``, when the cell was run; None where that was not kept. ``trained``: whether it had
    to be trained once more.
    """

    cell: Cell
    record: Record
    predictor: Predictor
    backbone: Backbone
    one: OneTask
    logits: Tensor
    before: NDArray[np.floating] | None
    trained: bool
    opening: Opening

    def answers(self, rows: Sequence[int]) -> Tensor:
        """What the predictor answers to rows of the training part of the cell's data, float32
        ``[len(rows), outputs]``."""
        pool = self.opening.pool(self.loaded, self.backbone, "train")
        inputs = self.loaded.data.train.placed(pool, torch.tensor(rows, dtype=torch.int64))
        return self.opening.trials.logits(self.predictor, inputs, self.task)

    def prepared(self, rows: Sequence[int]) -> Tensor:
        """Rows of the training part of the cell's data as the backbone takes them, on the CPU."""
        pool = self.opening.pool(self.loaded, self.backbone, "train")
        return pool.take(self.loaded.data.train.places[list(rows)]).cpu()

    @property
    def task(self) -> Task:
        return self.one.val.tasks[0]

    @property
    def loaded(self) -> Loaded:
        return self.one.loaded


@contextmanager
def reopened(record: Record, resources: Resources, store: Store) -> Iterator[Reopened]:
    """Open a finished cell of a results folder. Within, the numbers of threads and the precision
    are those that it ran with.

    Raises:
        HarnessError: the cell is of ``episodes``, or its data, weights or plugins are not what they
            were when it ran.
    """
    cell = cell_of(record)
    problem = cell.problem_spec
    if isinstance(problem, EpisodesProblem):
        raise HarnessError(
            f"{cell.title} adapts to each episode anew: there is no one predictor",
            "Choose a problem of another protocol",
        )
    with (
        tempfile.TemporaryDirectory() as folder,
        computing_with(cell.budget.threads),
        Meters(resources.device) as meters,
    ):
        journal = Journal(Path(folder), cell.cell)
        opening = Opening(cell, resources, journal, meters, lambda hook, arguments: None)
        backbone, loaded = opening.open()
        with products(opening.run_context.precision), seeded(cell.seed, resources.device):
            one = opening.one_task(problem, loaded, backbone)
            _check_split(record, one)
            file = store.directory / f"predictors/{cell.cell}.safetensors"
            opening.done.trials[:] = copy.deepcopy(record.trials)
            assert record.selected is not None
            if kept := file.exists():
                chosen = record.trials[record.selected]
                predictor = opening.trials.restored(file, chosen, backbone, one.val.tasks[0])
            else:
                again = opening.trials.again(backbone, one.val).predictor
                assert again is not None
                predictor = again
            logits = opening.trials.logits(predictor, one.val.inputs[0], one.val.tasks[0])
            before = kept_on_validation(store, cell.cell).get("val_logits")
            yield Reopened(
                cell, record, predictor, backbone, one, logits, before, not kept, opening
            )


def cell_of(record: Record) -> Cell:
    """The cell that a record is of, as it was configured then."""
    coordinates = {name: getattr(record, name) for name in Coordinates.model_fields}
    config = {"further_specs": {}, **record.config}
    return Cell.model_validate(
        {
            **config,
            **coordinates,
            "keep_predictor": False,
            "keep_examples": False,
            "meaning": record.meaning,
        },
        strict=False,
    )


def kept_on_validation(store: Store, cell: str) -> Mapping[str, NDArray[Any]]:
    """What the selected predictor answered to its validation examples when the cell was run:
    ``val_logits`` float32 [V, outputs] and, where they may be looked at, ``val_labels`` int64 [V].
    Empty where a cell was run before they were kept."""
    found: dict[str, NDArray[Any]] = {}
    for name in ("val_logits", "val_labels"):
        with suppress(FileNotFoundError, InvalidFile):
            found |= read_arrays(store.directory / predictions_file(cell), name)
    return found


def _check_split(record: Record, one: OneTask) -> None:
    if record.split_hash not in (None, one.digest):
        raise HarnessError(
            f"the data of '{record.problem}' are not those that the cell was run on",
            "Bring back the data, or run the suite again",
        )
