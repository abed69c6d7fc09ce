"""Find who is ahead in a setting: a winner is named only where the tests name one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from harness.report.analysis.pairwise import seen_from
from harness.report.analysis.results import by_setting


@dataclass(frozen=True)
class Standing:
    """Who is ahead in one setting.

    ``ranking`` has the complete groups' labels, highest mean first, without those that were shown
    the target's labels where others were not. Of the others, ``tied`` can't be told apart from the
    first, and ``untested`` could not be tested against it. ``points`` ± ``half`` is how far the
    first is above the second.
    """

    setting: int
    ranking: tuple[str, ...]
    tied: tuple[str, ...]
    untested: tuple[str, ...]
    points: float
    half: float
    missing: tuple[tuple[str, str], ...]

    @property
    def tested(self) -> bool:
        """Whether there are two complete groups and seeds enough for an interval between them."""
        return not np.isnan(self.half)

    def outcome(self, label: str) -> str:
        """What the test of the first against another label says, as ``stats.outcome``."""
        if label in self.untested:
            return "untested"
        return "unclear" if label in self.tied else "better"

    @property
    def winner(self) -> str | None:
        """The first, if it can be told apart from every other."""
        alone = len(self.ranking) > 1 and not self.tied and not self.untested
        return self.ranking[0] if alone else None


def standings(table: pd.DataFrame, pairwise: pd.DataFrame) -> list[Standing]:
    """Make a standing for each setting, from ``summary`` and ``pairwise`` of one frame."""
    ranked = table[(table["gap"] == "") & (table["oracle"] != "labels")].sort_values(
        ["setting", "accuracy"], ascending=[True, False], kind="stable"
    )
    rankings: dict[Any, Any] = ranked.groupby("setting")["label"].agg(tuple).to_dict()
    margins = _margins(pairwise, {setting: ranking[0] for setting, ranking in rankings.items()})
    unknown = (np.nan, np.nan, "untested")
    found = []
    for setting, groups in by_setting(table).items():
        ranking = rankings.get(setting, ())
        others = {label: margins.get((setting, label), unknown) for label in ranking[1:]}
        points, half, _ = next(iter(others.values()), unknown)
        found.append(
            Standing(
                setting=setting,
                ranking=ranking,
                tied=tuple(label for label, (*_, kind) in others.items() if kind == "unclear"),
                untested=tuple(label for label, (*_, kind) in others.items() if kind == "untested"),
                points=points,
                half=half,
                missing=tuple((label, row["gap"]) for label, row in groups.items() if row["gap"]),
            )
        )
    return found


def _margins(
    pairwise: pd.DataFrame, leaders: dict[int, str]
) -> dict[tuple[int, str], tuple[float, float, str]]:
    """Map each setting and each label but the first's to how far the first is above it, in points,
    the half width of the interval, and what the test says (``stats.outcome``)."""
    rows = seen_from(pairwise, pd.Series(leaders, dtype=object))
    points, half = 100 * rows["difference"], 100 * rows["half"]
    columns = (rows["setting"], rows["right"], points, half, rows["outcome"])
    return {
        (setting, other): (ahead, around, outcome)
        for setting, other, ahead, around, outcome in zip(
            *(column.tolist() for column in columns), strict=True
        )
    }
