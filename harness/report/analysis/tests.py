"""All that the tests say of one suite, worked out once for the page and the tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.report.analysis.pairwise import duels
from harness.report.analysis.problems import (
    Overall,
    Ranking,
    against_baseline,
    leader_against_rest,
    overall,
    ranking,
    told_apart,
)
from harness.report.analysis.results import baseline
from harness.report.analysis.stats import Models
from harness.report.analysis.trained import of_single_seeds
from harness.report.analysis.winners import Verdict, verdicts


@dataclass(frozen=True)
class Judgement:
    """The decisions that every sentence and every mark of a report follows from.

    ``duels``: every two strategies in every setting · ``verdicts``: who is ahead in each ·
    ``gains`` and ``leader``: over all problems, against the baseline and of the best ·
    ``ranking``: means and average ranks · ``apart``: which of those ranked are told apart over all
    problems [k, k] · ``models``: by setting of one seed, its two best trained models."""

    duels: pd.DataFrame
    verdicts: list[Verdict]
    gains: list[Overall]
    leader: list[Overall]
    ranking: Ranking
    apart: NDArray[np.bool_]
    models: Mapping[int, Models]


def judge(directory: Path, frame: pd.DataFrame, table: pd.DataFrame) -> Judgement:
    """``frame`` is tidy, ``table`` its ``summary``; predictions are read from ``directory``."""
    found, ranked = duels(frame), ranking(frame)
    judged, over_problems = verdicts(table, found), overall(frame, ranked)
    return Judgement(
        duels=found,
        verdicts=judged,
        gains=against_baseline(over_problems, baseline(frame)),
        leader=leader_against_rest(over_problems, ranked),
        ranking=ranked,
        apart=told_apart(over_problems, ranked.labels),
        models=of_single_seeds(directory, frame, judged),
    )
