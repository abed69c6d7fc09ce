"""A results folder as pandas frames, for a person's own analysis."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from harness.record.predictions import class_names, read_predictions
from harness.record.reading import InvalidFile
from harness.record.schema import Coordinates, Record
from harness.record.store import Store, predictions_file
from harness.record.table import typed

if TYPE_CHECKING:
    from numpy.typing import NDArray

PLACE = "cell label strategy dataset problem protocol ways shots backbone seed".split()
"""What a row of ``trials`` says of its cell."""

TRIAL = "number state selected value loss seconds fit_seconds at_once together reason".split()

CURVE = "cell label seed trial step value".split()

GROUP = "cell label problem shots backbone".split()
"""What a row of ``predictions`` says of its cell in categories; ``seed`` is a number."""


class Frames:
    """The results folder of a suite as frames, each read when it is first asked for.

    ``cells``: one row a planned cell, with the columns of ``harness export``, and one more for each
    further test of it, whose name is ``test`` (NA in the first); what a cell cost stands in all of
    its rows. A cell without a record has status ``pending``, and NaN or NA for what it does not
    have.

    ``trials``: one row a trial of any cell that has a record, in the order they were tried:

    - ``cell label strategy dataset problem protocol shots backbone`` (string), ``ways seed``
      (Int64);
    - ``number`` (Int64, from 0: the strategy's defaults), ``state`` (string: complete, pruned,
      failed or diverged), ``selected`` (boolean: what the cell was tested with);
    - ``value`` (float64: validation accuracy as a fraction, or, where the target's labels select
      nothing, mutual information in nats), ``loss`` (float64, nats), ``seconds fit_seconds``
      (float64), ``at_once together`` (Int64), ``reason`` (string), as in
      :class:`harness.record.schema.Trial`;
    - ``params_NAME`` for each hyperparameter that any strategy has: boolean, Int64 or float64 where
      all its values are, else string; NA where a strategy does not have it.

    ``curves``: one row a point of a trial's learning curve, in the order of ``trials``:
    ``cell label`` (string), ``seed trial step`` (Int64) and ``value`` (float64: the validation
    accuracy as a fraction at that step, or what else ``value`` of a trial is).

    ``predictions``: one row a test example of each cell that is ok and whose predictions were kept:

    - ``cell label problem shots backbone`` (category), ``seed`` (Int64), ``test`` (string: the
      name of a further test; NA on the problem's own);
    - ``episode`` (Int64, from 0; NA without episodes), ``id`` (Int64: the row of the example in the
      dataset's test part or, where it has none, in its training part);
    - ``true predicted`` (Int64: numbers of classes, those of the episode where there are some),
      ``true_class predicted_class`` (string: their names; NA in episodes), ``correct`` (boolean),
      ``confidence`` (float64: the softmax probability of what is predicted) and
      ``true_probability`` (float64: that of the true class).

    Raises:
        HarnessError: the folder holds no results; or its cells are not of one budget, or not of one
            version of a dataset (``cells``).
    """

    def __init__(self, directory: Path) -> None:
        self._store = Store(directory)
        self._store.plan()

    @cached_property
    def cells(self) -> pd.DataFrame:
        return typed(self._store.frame())

    @cached_property
    def trials(self) -> pd.DataFrame:
        rows, settings = [], []
        for cell, record in self._records():
            place = [getattr(cell, name) for name in PLACE]
            for trial in record.trials:
                told = trial.model_dump() | {"selected": trial.number == record.selected}
                rows.append([*place, *(told[name] for name in TRIAL)])
                settings.append(trial.settings)
        frame = typed(pd.DataFrame(rows, columns=[*PLACE, *TRIAL]))
        names = dict.fromkeys(name for each in settings for name in each)
        params = {f"params_{name}": _values(name, settings) for name in names}
        return pd.concat([frame, pd.DataFrame(params, index=frame.index)], axis=1)

    @cached_property
    def curves(self) -> pd.DataFrame:
        rows = [
            (cell.cell, cell.label, cell.seed, trial.number, step, value)
            for cell, record in self._records()
            for trial in record.trials
            for step, value in trial.curve
        ]
        return typed(pd.DataFrame(rows, columns=CURVE)).astype({"trial": "Int64", "step": "Int64"})

    @cached_property
    def predictions(self) -> pd.DataFrame:
        cells, tests, parts = [], [], []
        for cell, record in self._records():
            for test in (None, *cell.tests) if record.status == "ok" else ():
                answers = self._answers(record, test)
                if answers is not None:
                    cells.append(cell)
                    tests.append(test)
                    parts.append(answers)
        lengths = [len(part) for part in parts]
        row = np.repeat(np.arange(len(cells)), lengths)
        place: dict[str, Any] = {
            name: pd.Categorical([str(getattr(cell, name)) for cell in cells]).take(row)
            for name in GROUP
        }
        place["seed"] = pd.array([cell.seed for cell in cells], dtype="Int64").take(row)
        place["test"] = pd.array(tests, dtype="string").take(row)
        answered = pd.concat(
            [pd.DataFrame(columns=[*ANSWER]).astype(ANSWER), *parts], ignore_index=True
        )
        return pd.concat([pd.DataFrame(place), answered], axis=1)

    def _records(self) -> Iterator[tuple[Coordinates, Record]]:
        for cell, record in self._store.planned():
            if record is not None:
                yield cell, record

    def _answers(self, record: Record, test: str | None) -> pd.DataFrame | None:
        """The rows of one test of a cell; a warning, and nothing, where its file is damaged."""
        path = self._store.directory / predictions_file(record.cell, test)
        try:
            arrays = read_predictions(path, "ids")
            if arrays["ids"].shape != arrays["labels"].shape:
                raise InvalidFile("does not hold an id for each label")
        except FileNotFoundError:
            return None
        except InvalidFile as invalid:
            warnings.warn(f"{path} {invalid}: its rows are left out", stacklevel=2)
            return None
        frame = _rows(arrays)
        if arrays["labels"].ndim == 1:
            names = class_names(
                self._store.directory, record.split_hash, arrays["logits"].shape[-1]
            )
            for column in ("true", "predicted"):
                text = [names[number] for number in frame[column]]
                frame[f"{column}_class"] = pd.array(text, dtype="string")
        return frame


def _rows(arrays: Mapping[str, NDArray[Any]]) -> pd.DataFrame:
    labels, logits = arrays["labels"], arrays["logits"].astype(np.float64)
    logits -= logits.max(axis=-1, keepdims=True)
    chances = np.exp(logits)
    chances /= chances.sum(axis=-1, keepdims=True)
    predicted = chances.argmax(axis=-1)
    of = {
        name: np.take_along_axis(chances, at[..., None], axis=-1).ravel()
        for name, at in (("confidence", predicted), ("true_probability", labels))
    }
    frame = pd.DataFrame(
        {
            "episode": np.arange(len(labels)).repeat(labels.shape[1]) if labels.ndim > 1 else pd.NA,
            "id": arrays["ids"].ravel(),
            "true": labels.ravel(),
            "predicted": predicted.ravel(),
            "true_class": pd.NA,
            "predicted_class": pd.NA,
            "correct": (predicted == labels).ravel(),
            **of,
        }
    )
    return frame.astype(ANSWER)


ANSWER = {
    **dict.fromkeys(("episode", "id", "true", "predicted"), "Int64"),
    **dict.fromkeys(("true_class", "predicted_class"), "string"),
    "correct": "boolean",
    **dict.fromkeys(("confidence", "true_probability"), "float64"),
}
"""What ``predictions`` says of an answer, and in which types."""


def _values(name: str, settings: Sequence[Mapping[str, Any]]) -> Any:
    """A hyperparameter's values as an array of the narrowest type that holds all."""
    values = [each.get(name) for each in settings]
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {bool}:
        return pd.array(values, dtype="boolean")
    if kinds <= {int}:
        return pd.array(values, dtype="Int64")
    if kinds <= {int, float}:
        return np.array(values, dtype="float64")
    return pd.array(
        [v if v is None or isinstance(v, str) else json.dumps(v) for v in values], dtype="string"
    )
