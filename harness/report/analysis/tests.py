"""All tests of one suite, made once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.report.analysis.pairwise import pairwise
from harness.report.analysis.problems import (
    OverProblems,
    Ranking,
    against_baseline,
    leader_against_rest,
    over_problems,
    ranking,
    told_apart,
)
from harness.report.analysis.results import baseline, own_tests
from harness.report.analysis.stats import Models
from harness.report.analysis.trained import of_single_seeds
from harness.report.analysis.winners import Standing, standings


@dataclass(frozen=True)
class Decisions:
    """The decisions that every sentence and every mark of a report follows from.

    ``pairwise``: every two strategies in every setting · ``standings``: who is ahead in each ·
    ``gains`` and ``leader``: over all problems, against the baseline and of the best ·
    ``ranking``: means and average ranks · ``apart``: which of those ranked are told apart over all
    problems [k, k] · ``models``: by setting of one seed, its two best trained models."""

    pairwise: pd.DataFrame
    standings: list[Standing]
    gains: list[OverProblems]
    leader: list[OverProblems]
    ranking: Ranking
    apart: NDArray[np.bool_]
    models: Mapping[int, Models]


def decide(directory: Path, frame: pd.DataFrame, table: pd.DataFrame) -> Decisions:
    """Test everything that a report speaks of.

    ``frame`` is tidy, ``table`` its ``summary``; predictions are read from ``directory``. Over all
    problems it is their own tests that count; a further test is a setting by itself.
    """
    own = own_tests(frame)
    found, ranked = pairwise(frame), ranking(own)
    ahead, compared = standings(table, found), over_problems(own, ranked)
    return Decisions(
        pairwise=found,
        standings=ahead,
        gains=against_baseline(compared, baseline(frame)),
        leader=leader_against_rest(compared, ranked),
        ranking=ranked,
        apart=told_apart(compared, ranked.labels),
        models=of_single_seeds(directory, frame, ahead),
    )
