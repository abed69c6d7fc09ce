"""Accuracies of a suite as arrays, which all tests work on."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.record.elsewhere import ELSEWHERE
from harness.report.analysis.design import FIXED, Design
from harness.report.analysis.stats import Floats

Bools = NDArray[np.bool_]
Whole = NDArray[np.intp]

NOT_ENDED = ("pending", "interrupted", "damaged", "stale")
"""Statuses of cells that another run would do."""


@dataclass(frozen=True)
class Scores:
    """Accuracies of strategies: S settings, K strategies, R seeds.

    ``values`` [S, K, R] is NaN where there is no result; ``planned`` and ``ended`` [S, K, R] tell
    of which cells there is to be one, and which have ended, whatever became of them. ``settings``
    [S] are the frame's numbers and ``problem`` [S] numbers the problems from 0, in order;
    ``examples`` [S] are tested, NaN where that is not known, by a ``further`` test [S] or by the
    problem's own.
    """

    labels: list[str]
    settings: Whole
    problem: Whole
    examples: Floats
    further: Bools
    values: Floats
    planned: Bools
    ended: Bools

    @property
    def problems(self) -> int:
        return int(self.problem[-1]) + 1 if len(self.problem) else 0

    @property
    def complete(self) -> Bools:
        """Which groups have all the results that they are to have [S, K]."""
        known = ~np.isnan(self.values)
        return np.asarray(self.planned.any(axis=2) & (known | ~self.planned).all(axis=2))

    def own(self) -> Scores:
        """Keep the problems' own tests: further ones are of the same trainings, and no part of what
        is said over all problems."""
        if not self.further.any():
            return self
        kept = ~self.further
        arrays = ("settings", "problem", "examples", "further", "values", "planned", "ended")
        return replace(self, **{name: getattr(self, name)[kept] for name in arrays})

    def whole(self) -> Floats:
        """The planned values of complete groups, NaN for others [S, K, R]: a mean over those cells
        that happened to finish would flatter."""
        return np.where(self.complete[:, :, None] & self.planned, self.values, np.nan)


def competing(frame: pd.DataFrame, design: Design = FIXED) -> pd.DataFrame:
    """Select the cells of strategies that compete: not those that learn from the
    target's labels where others are not shown them; nor predictions made elsewhere of one seed
    where others have several, as who can't be tested against them could not win; and none of
    those where seeds are added, which nobody can add to them."""
    frame = frame[frame["oracle"] != "labels"]
    if design.looks:
        return frame[frame["strategy"] != ELSEWHERE]
    seeds = frame.groupby(["setting", "label"])["seed"].transform("size")
    most = seeds.groupby(frame["setting"]).transform("max")
    return frame[(frame["strategy"] != ELSEWHERE) | (seeds > 1) | (most == 1)]


def scores(frame: pd.DataFrame) -> Scores:
    """Take the accuracies of the tidy ``frame``."""
    names = [str(label) for label in frame["label"].unique()]
    settings = frame.drop_duplicates("setting").sort_values("setting")
    seeds = np.sort(frame["seed"].unique())
    at = (
        np.searchsorted(settings["setting"], frame["setting"]),
        frame["label"].map({name: place for place, name in enumerate(names)}).to_numpy(dtype=int),
        np.searchsorted(seeds, frame["seed"]),
    )
    shape = (len(settings), len(names), len(seeds))
    values = np.full(shape, np.nan)
    planned, ended = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
    values[at] = frame["accuracy"].where(frame["counts"])
    planned[at] = True
    ended[at] = ~frame["status"].isin(NOT_ENDED)
    return Scores(
        labels=names,
        settings=settings["setting"].to_numpy(dtype=int),
        problem=pd.factorize(settings["problem"])[0],
        examples=settings["examples"].to_numpy(dtype="float64"),
        further=settings["test"].ne("").to_numpy(dtype=bool),
        values=values,
        planned=planned,
        ended=ended,
    )
