"""Who is ahead in a setting: a winner is named only where the tests name one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from harness.report.results import by_setting
from harness.report.stats import ALPHA


@dataclass(frozen=True)
class Verdict:
    """Who is ahead in one setting.

    ``ranking`` has the complete groups' labels, highest mean first, without those that were shown
    the target's labels where others were not. ``tied`` are those that can't be told apart from the
    first, or could not be tested. ``points`` ± ``half`` is how far the first is above the second.
    """

    setting: int
    ranking: tuple[str, ...]
    tied: tuple[str, ...]
    points: float
    half: float
    missing: tuple[tuple[str, str], ...]

    @property
    def judged(self) -> bool:
        """Whether there are two complete groups and seeds enough for an interval between them."""
        return not np.isnan(self.half)

    @property
    def winner(self) -> str | None:
        """The first, if it can be told apart from every other."""
        return self.ranking[0] if len(self.ranking) > 1 and not self.tied else None


def verdicts(table: pd.DataFrame, duels: pd.DataFrame) -> list[Verdict]:
    """A verdict for each setting, from ``summary`` and ``comparisons.duels`` of one frame."""
    ranked = table[(table["gap"] == "") & (table["oracle"] != "labels")].sort_values(
        ["setting", "accuracy"], ascending=[True, False], kind="stable"
    )
    rankings: dict[Any, Any] = ranked.groupby("setting")["label"].agg(tuple).to_dict()
    margins = _margins(duels, {setting: ranking[0] for setting, ranking in rankings.items()})
    unknown = (np.nan, np.nan, False)
    found = []
    for setting, groups in by_setting(table).items():
        ranking = rankings.get(setting, ())
        others = margins.get(setting, {})
        points, half, _ = others.get(ranking[1], unknown) if len(ranking) > 1 else unknown
        found.append(
            Verdict(
                setting=setting,
                ranking=ranking,
                tied=tuple(label for label in ranking[1:] if not others.get(label, unknown)[2]),
                points=points,
                half=half,
                missing=tuple((label, row["gap"]) for label, row in groups.items() if row["gap"]),
            )
        )
    return found


def _margins(
    duels: pd.DataFrame, leaders: dict[int, str]
) -> dict[int, dict[str, tuple[float, float, bool]]]:
    """For each setting and each label but the first's: how far the first is above it, in points,
    the half width of the interval, and whether the two are told apart."""
    leader = duels["setting"].map(leaders)
    flipped = duels["right"] == leader
    rows = duels.assign(
        other=duels["left"].where(flipped, duels["right"]),
        points=100 * duels["difference"].where(~flipped, -duels["difference"]),
        half=100 * duels["half"],
        apart=duels["p_holm"] < ALPHA,
    )[flipped | (duels["left"] == leader)]
    found: dict[int, dict[str, tuple[float, float, bool]]] = {}
    columns = ("setting", "other", "points", "half", "apart")
    for setting, other, *margin in zip(*(rows[name].tolist() for name in columns), strict=True):
        found.setdefault(setting, {})[other] = (margin[0], margin[1], margin[2])
    return found
