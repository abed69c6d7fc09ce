"""Find who is ahead in a setting: a winner is named only where the tests name one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from harness.report.analysis.design import MARGIN, WINNERS, Design
from harness.report.analysis.moderated import Moderation
from harness.report.analysis.pairwise import seen_from
from harness.report.analysis.races import Race
from harness.report.analysis.results import Group, by_setting
from harness.report.analysis.scores import Scores, Whole
from harness.report.analysis.stats import ALPHA, SAME, t_quantile

LITTLE = 0.8
"""What is cheaper has to cost at most so much of the leader's time to be taken instead: two of the
same cost are not the same to the second."""


@dataclass(frozen=True)
class Standing:
    """Who is ahead in one setting.

    ``ranking`` has the complete groups' labels, the leader and then the highest mean first, without
    those that were shown the target's labels where others were not. ``mean``: the leader's
    accuracy, ``low`` to ``high`` its interval (0–1). ``winner``: the leader, where it is shown to
    be ahead of every other: ``p``, corrected for settings and looks, is below ``alpha`` by
    ``test``. Of the others, ``tied`` can't be told apart from the leader, and ``untested`` could
    not be tested against it; ``alone`` are those of ``tied`` that a test of this one pair would
    tell from it, which decides nothing among as many pairs as a report tests. ``points`` ±
    ``half`` is how far it is above the second. ``examples``: how many are tested, where every seed
    is tested on the same ones, else NaN.
    ``within_margin``: all that were left are shown to be within the suite's margin of it.
    ``cheapest``: what is clearly cheaper than the leader and next to as good, or else the leader
    (:func:`cheapest`). ``missing``: labels, and what is missing.
    """

    setting: int
    ranking: tuple[str, ...]
    mean: float
    low: float
    high: float
    winner: str | None
    p: float
    alpha: float
    test: str
    tied: tuple[str, ...]
    untested: tuple[str, ...]
    alone: tuple[str, ...]
    points: float
    half: float
    examples: float
    within_margin: bool
    cheapest: str | None
    missing: tuple[tuple[str, str], ...]

    @property
    def tested(self) -> bool:
        """Whether there are two complete groups and seeds enough for an interval between them."""
        return not np.isnan(self.half)

    @property
    def leader(self) -> str | None:
        """Who is ahead, shown or not; None where nothing is complete."""
        return next(iter(self.ranking), None)

    @property
    def take(self) -> str | None:
        """What to take: the winner, or else the cheapest of those that can't be told apart from the
        leader; where times are not known, the leader."""
        return self.winner or self.cheapest or self.leader

    def outcome(self, label: str) -> str:
        """What the test of the first against another label says, as ``stats.outcome``."""
        if label in self.untested:
            return "untested"
        return "unclear" if label in self.tied else "better"


def standings(
    table: pd.DataFrame,
    pairwise: pd.DataFrame,
    given: Scores,
    races: Sequence[Race],
    design: Design,
) -> list[Standing]:
    """Make a standing for each setting of ``summary``, from what was decided."""
    race_of = dict(zip(given.settings.tolist(), races, strict=True))
    settings = by_setting(table)
    rankings = {
        setting: _ranking(groups, _leader(given, race_of.get(setting)))
        for setting, groups in settings.items()
    }
    leaders = {setting: ranking[0] for setting, ranking in rankings.items() if ranking}
    margins = _margins(pairwise, leaders)
    unknown = _Margin(np.nan, np.nan, np.nan, "untested", "none")
    margin = MARGIN if design.margin is None else design.margin
    found = []
    for setting, groups in settings.items():
        ranking, race = rankings[setting], race_of.get(setting)
        others = {label: margins.get((setting, label), unknown) for label in ranking[1:]}
        next_best = next(iter(others.values()), unknown)
        first: Mapping[str, Any] = groups[ranking[0]] if ranking else {}
        tied = tuple(label for label, one in others.items() if one.outcome == "unclear")
        found.append(
            Standing(
                setting=setting,
                ranking=ranking,
                mean=first.get("accuracy", np.nan),
                low=first.get("accuracy_low", np.nan),
                high=first.get("accuracy_high", np.nan),
                winner=ranking[0] if race is not None and race.won and ranking else None,
                p=race.p if race is not None else np.nan,
                alpha=WINNERS,
                test=next_best.test,
                tied=tied,
                untested=tuple(label for label, one in others.items() if one.outcome == "untested"),
                alone=tuple(label for label in tied if others[label].p < ALPHA),
                points=next_best.points,
                half=next_best.half,
                examples=first["examples"] if first.get("shared") else np.nan,
                within_margin=race is not None and race.equal,
                cheapest=cheapest(groups, [*ranking[:1], *tied], margin),
                missing=tuple((label, row["gap"]) for label, row in groups.items() if row["gap"]),
            )
        )
    return found


def cheapest(groups: Mapping[str, Group], labels: Sequence[str], margin: float) -> str | None:
    """Find what takes the least time of ``labels`` that are at most ``margin`` (0–1) below the
    first, which leads; the first, where none takes at most :data:`LITTLE` of its time; None where
    no time is known."""
    near = [
        label
        for label in labels
        if groups[label]["accuracy"] >= groups[labels[0]]["accuracy"] - margin
        and not np.isnan(groups[label]["seconds_total"])
    ]
    seconds = {label: groups[label]["seconds_total"] for label in near}
    least = min(near, key=seconds.__getitem__, default=None)
    if least is None or labels[0] not in seconds:
        return least
    return least if seconds[least] <= LITTLE * seconds[labels[0]] else labels[0]


def _leader(given: Scores, race: Race | None) -> str | None:
    return None if race is None or race.leader is None else given.labels[race.leader]


def _ranking(groups: Mapping[str, Group], leader: str | None) -> tuple[str, ...]:
    """Order what is complete by its mean, the leader first: where seeds were added to some, others
    have a mean of fewer."""
    whole = {
        label: row["accuracy"]
        for label, row in groups.items()
        if not row["gap"] and row["oracle"] != "labels"
    }
    return tuple(sorted(whole, key=lambda label: (label != leader, -whole[label])))


@dataclass(frozen=True)
class _Margin:
    """How far the leader is above another: ``points`` ± ``half``; ``p`` of this pair alone, what is
    decided of it (``stats.outcome``), and the name of the test."""

    points: float
    half: float
    p: float
    outcome: str
    test: str


def _margins(pairwise: pd.DataFrame, leaders: dict[int, str]) -> dict[tuple[int, str], _Margin]:
    """Map each setting and each label but the leader's to how far the leader is above it."""
    rows = seen_from(pairwise, pd.Series(leaders, dtype=object))
    points, half = 100 * rows["difference"], 100 * rows["half"]
    columns = (points, half, rows["p"], rows["outcome"], rows["test"])
    return {
        (setting, other): _Margin(*row)
        for setting, other, *row in zip(
            rows["setting"].tolist(),
            rows["right"].tolist(),
            *(column.tolist() for column in columns),
            strict=True,
        )
    }


def lead_needed(moderation: Moderation, n: Whole, seeds: int) -> float:
    """Estimate how far ahead, in points, the first of a setting has to be to be named its winner.

    With the median spread between seeds and so many of them, at Holm's first step over settings,
    which is the strictest; NaN where none is tested. ``n``: seeds that there were [S, P].
    """
    tested = (n > 1) & (moderation.sd > SAME)
    if not tested.any():
        return float("nan")
    freedom = moderation.prior + seeds - 1
    quantile = t_quantile(1 - WINNERS / 2 / tested.any(axis=1).sum(), freedom)
    return 100 * float(quantile * np.median(moderation.sd[tested]) / seeds**0.5)
