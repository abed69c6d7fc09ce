"""The predictor that a finished cell selected, back again: from its file, or trained once more; or
what its settings make of other data."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.data.examples import Data, Examples, Pool, RawRows
from harness.data.resident import make_pool
from harness.data.task import OneClass, Task
from harness.errors import HarnessError
from harness.model.backbone import Backbone
from harness.model.precision import products
from harness.model.restoring import stand_in
from harness.model.threads import computing_with
from harness.plan.cell import Cell
from harness.predictor import Predictor
from harness.record.arrays import read_arrays
from harness.record.journal import Journal
from harness.record.predictions import published_classes
from harness.record.reading import InvalidFile
from harness.record.schema import Coordinates, Record, Trial
from harness.record.store import Store, predictions_file
from harness.run.inputs import preparation
from harness.run.meters import Meters
from harness.run.opening import OneTask, Opening
from harness.run.recognising import on_examples
from harness.run.resources import Resources
from harness.run.seeding import seeded
from harness.run.trials import Trials
from harness.suite.problems import EpisodesProblem

VALIDATION, EXAMPLES = "val_logits", "example_logits"
"""What is kept of a selected predictor, by which it is known again: its answers to the validation
examples, and to the two examples of its backbone."""


@dataclass(frozen=True, kw_only=True)
class Restored:
    """A model that was made of a finished cell, ready to be used, and the names of its classes.

    ``now`` is what it answers to some examples, float32 ``[n, outputs]``, and ``before`` what the
    cell's model answered to them when it was run; None where that was not kept, or this is another
    model. ``again``: whether it had to be trained once more.
    """

    cell: Cell
    record: Record
    predictor: Predictor
    backbone: Backbone
    classes: tuple[str, ...]
    now: Tensor | None = None
    before: NDArray[np.floating] | None = None
    again: bool = False

    @property
    def selected(self) -> Trial:
        """The trial that the cell selected."""
        assert self.record.selected is not None
        return self.record.trials[self.record.selected]


@dataclass(frozen=True, kw_only=True)
class Trained(Restored):
    """One with what it learned from at hand: rows ``learned`` of the training part of ``data``,
    which ``pool`` holds as the backbone takes them."""

    data: Data
    learned: Sequence[int]
    pool: Pool
    task: Task
    trials: Trials

    def answers(self, rows: Sequence[int]) -> Tensor:
        """What the predictor answers to rows of the training part, float32 ``[len(rows), outputs]``
        on the CPU."""
        inputs = self.data.train.placed(self.pool, torch.tensor(rows, dtype=torch.int64))
        return self.trials.logits(self.predictor, inputs, self.task)

    def prepared(self, rows: Sequence[int]) -> Tensor:
        """Rows of the training part as the backbone takes them, on the CPU."""
        return self.pool.take(self.data.train.places[list(rows)]).cpu()


@dataclass(frozen=True, kw_only=True)
class Reopened(Trained):
    """One of a finished cell's own task, and what the cell was opened with."""

    one: OneTask
    opening: Opening

    def without_validation(self) -> Task:
        """Its task without the validation examples, which have to tell afterwards what a smaller
        variant is worth."""
        return replace(self.task, val=None)


class Reopening:
    """A finished cell, whose weights are at hand, and the ways to have a model of it."""

    def __init__(self, record: Record, opening: Opening, store: Store) -> None:
        self.record, self.opening, self.store = record, opening, store
        self.cell = opening.cell
        self.backbone = opening.open_model()
        opening.done.trials[:] = copy.deepcopy(record.trials)

    @property
    def chosen(self) -> Trial:
        """The trial that was selected."""
        assert self.record.selected is not None
        return self.record.trials[self.record.selected]

    @property
    def file(self) -> Path:
        """Where what it selected was kept, if it was."""
        return self.store.directory / f"predictors/{self.cell.cell}.safetensors"

    def kept(self) -> Restored | None:
        """What the cell selected, without its data; None where it was not kept, or by an earlier
        version, which left nothing to know it by."""
        before = kept_arrays(self.store, self.cell.cell, EXAMPLES).get(EXAMPLES)
        classes = published_classes(self.store.directory, self.record.split_hash)
        if before is None or classes is None or not self.file.exists():
            return None
        task = stand_in(self.backbone, OneClass(classes))
        predictor = self.opening.trials.restored(self.file, self.chosen, self.backbone, task)
        return Restored(
            cell=self.cell,
            record=self.record,
            predictor=predictor,
            backbone=self.backbone,
            classes=classes,
            now=on_examples(
                self.opening.trials, self.opening.run_context, self.backbone, task, predictor
            ),
            before=before,
        )

    def reopened(self) -> Reopened:
        """What the cell selected, with its data: from its file or, where it was not kept, trained
        once more.

        Raises:
            HarnessError: the cell is of ``episodes``, or its data are not what they were when it
                was run.
        """
        problem, opening = self.cell.problem_spec, self.opening
        if isinstance(problem, EpisodesProblem):
            raise HarnessError(
                f"{self.cell.title} adapts to each task anew, and needs labelled examples of yours",
                "Give a folder that has a folder for each class: --support FOLDER",
            )
        loaded = opening.resources.datasets.load(self.cell.dataset, problem.args)
        one = opening.one_task(problem, loaded, self.backbone)
        if self.record.split_hash not in (None, one.digest):
            raise HarnessError(
                f"the data of '{self.record.problem}' are not those that the cell was run on",
                "Bring back the data, or run the suite again",
            )
        trials, (task,) = opening.trials, one.val.tasks
        if there := self.file.exists():
            predictor = trials.restored(self.file, self.chosen, self.backbone, task)
        else:
            selected = trials.again(self.backbone, one.val).predictor
            assert selected is not None
            predictor = selected
        return Reopened(
            cell=self.cell,
            record=self.record,
            predictor=predictor,
            backbone=self.backbone,
            classes=loaded.data.classes,
            now=trials.logits(predictor, one.val.inputs[0], task),
            before=kept_arrays(self.store, self.cell.cell, VALIDATION).get(VALIDATION),
            again=not there,
            data=loaded.data,
            learned=one.manifest.train,
            pool=opening.pool(loaded, self.backbone, "train"),
            task=task,
            trials=trials,
            one=one,
            opening=opening,
        )

    def trained_on(self, data: Data, like: Task | None = None) -> Trained:
        """What the selected settings make of all training examples of other data, as they do of an
        episode's: nothing is validated. ``like`` is a task that has all else to learn from, such as
        unlabelled inputs."""
        ready = preparation(self.backbone, self.cell.problem_spec.fit)
        device, trials = self.opening.resources.device, self.opening.trials
        pool = make_pool(RawRows(*data.part("train")), ready, device)
        split, learned = data.train, range(len(data.train.labels))
        train = Examples(split.placed(pool, torch.tensor(learned)), split.labels.to(device))
        task = Task(train, OneClass(data.classes))
        if like is not None:
            task = replace(like, train=train, val=None)
        return Trained(
            cell=self.cell,
            record=self.record,
            predictor=trials.adapted(self.chosen, self.backbone, task),
            backbone=self.backbone,
            classes=data.classes,
            data=data,
            learned=learned,
            pool=pool,
            task=task,
            trials=trials,
        )


@contextmanager
def reopening(record: Record, resources: Resources, store: Store) -> Iterator[Reopening]:
    """Open a finished cell of a results folder. Within, the numbers of threads and the precision
    are those that it ran with.

    Raises:
        HarnessError: its weights or plugins are not what they were when it ran.
    """
    cell = cell_of(record)
    with (
        tempfile.TemporaryDirectory() as folder,
        computing_with(cell.budget.threads),
        Meters(resources.device) as meters,
    ):
        journal = Journal(Path(folder), cell.cell)
        opening = Opening(cell, resources, journal, meters, lambda hook, arguments: None)
        found = Reopening(record, opening, store)
        with products(opening.run_context.precision), seeded(cell.seed, resources.device):
            yield found


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


def kept_arrays(store: Store, cell: str, *names: str) -> Mapping[str, NDArray[Any]]:
    """What a cell kept of its selected predictor when it was run, by name: ``val_logits`` float32
    [V, outputs] and, where they may be looked at, ``val_labels`` int64 [V]; ``example_logits``
    float32 [2, outputs]. A cell that was run before they were kept has none."""
    found: dict[str, NDArray[Any]] = {}
    for name in names:
        with suppress(FileNotFoundError, InvalidFile):
            found |= read_arrays(store.directory / predictions_file(cell), name)
    return found
