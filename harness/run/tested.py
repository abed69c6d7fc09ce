"""Test what was selected: on the problem's own test, and on the further ones, once each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.data.examples import Inputs, Pool
from harness.data.loaded import Loaded
from harness.data.protocols import class_numbers
from harness.data.splits import Manifest
from harness.data.task import Task
from harness.plan.cell import Cell
from harness.plan.datasets import Datasets
from harness.plan.targets import further_leaks, further_tests
from harness.predictor import Predictor
from harness.record.schema import Further
from harness.record.store import Store
from harness.run.meters import Clock
from harness.run.misclassified import Arrays, misclassified
from harness.run.trials import Trials


class Answers(NamedTuple):
    """What comes of a test: metrics, the arrays of :meth:`Store.write_predictions`, and what was
    tested."""

    metrics: dict[str, float]
    arrays: dict[str, NDArray[Any]]
    inputs: Inputs


@dataclass(frozen=True)
class SealedTest:
    """Scores a predictor of a cell's one task on data that nothing of it was shown. ``pool`` gives
    the prepared inputs of a part of some data."""

    cell: Cell
    task: Task
    predictor: Predictor
    trials: Trials
    clock: Clock
    store: Store
    pool: Callable[[Loaded, str], Pool]

    def own(self, loaded: Loaded, manifest: Manifest) -> Answers:
        """What comes of the problem's own test."""
        return self._score(loaded, manifest.test, loaded.data.tested[1].labels)

    def further(self, datasets: Datasets, loaded: Loaded, manifest: Manifest) -> dict[str, Further]:
        """What the further tests come to, by name. They are the harness's own wish, and no part of
        what a method costs: nothing is billed."""
        found = {}
        for name, other, rows in further_tests(datasets, self.cell, manifest):
            labels = class_numbers(other.data, loaded.data)[other.data.tested[1].labels]
            with self.clock.aside():
                answers = self._score(other, rows, labels)
            self.keep(other, answers.arrays, loaded.data.classes, name)
            leaks = further_leaks(datasets, self.cell, manifest, other, rows)
            found[name] = Further(metrics=answers.metrics, leaks=leaks, examples=len(rows))
        return found

    def keep(
        self, loaded: Loaded, arrays: Arrays, names: Sequence[str], test: str | None = None
    ) -> None:
        """Keep what was answered on a test, and of the errors those that a report shows; ``names``
        are those of the task's classes."""
        self.store.write_predictions(self.cell.cell, arrays, test)
        split, columns = loaded.data.tested[1], np.arange(len(names))
        errors = misclassified(split, arrays, columns, names, self.cell.keep_examples)
        self.store.write_misclassified(self.cell.cell, errors, test)

    def _score(self, loaded: Loaded, ids: Sequence[int], labels: Tensor) -> Answers:
        """Score rows of the tested part of some data; ``labels`` are those of the whole part, as
        the task numbers its classes."""
        part, split = loaded.data.tested
        rows = torch.tensor(ids, dtype=torch.int64)
        inputs = split.placed(self.pool(loaded, part), rows)
        with self.clock.phase("test"):
            logits = self.trials.logits(self.predictor, inputs, self.task)
        true = labels[rows]
        arrays = {"logits": logits.numpy(), "labels": true.numpy(), "ids": rows.numpy()}
        return Answers(self.task.target.scores(logits, true), arrays, inputs)
