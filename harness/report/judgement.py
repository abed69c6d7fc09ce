"""All that the tests say of one suite, worked out once for the page and the tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from harness.report.comparisons import (
    Overall,
    Ranking,
    against_baseline,
    duels,
    leader_against_rest,
    ranking,
)
from harness.report.stats import Models
from harness.report.trained import of_single_seeds
from harness.report.verdicts import Verdict, verdicts


@dataclass(frozen=True)
class Judgement:
    """``duels``: every two strategies in every setting · ``verdicts``: who is ahead in each ·
    ``gains`` and ``leader``: over all problems, against the baseline and of the best ·
    ``ranking``: average ranks · ``models``: by setting of one seed, its two best trained models."""

    duels: pd.DataFrame
    verdicts: list[Verdict]
    gains: list[Overall]
    leader: list[Overall]
    ranking: Ranking
    models: Mapping[int, Models]


def judge(directory: Path, frame: pd.DataFrame, table: pd.DataFrame) -> Judgement:
    """``frame`` is tidy, ``table`` its ``summary``; predictions are read from ``directory``."""
    found = duels(frame)
    judged = verdicts(table, found)
    return Judgement(
        duels=found,
        verdicts=judged,
        gains=against_baseline(frame),
        leader=leader_against_rest(frame),
        ranking=ranking(frame),
        models=of_single_seeds(directory, frame, judged),
    )
