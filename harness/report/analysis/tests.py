"""All tests of one suite, made once.

There is one α for all that a page says (:mod:`harness.report.analysis.design`). Of every two
strategies it is asked first whether they differ over all problems. Setting by setting, those that
do are one family of tests; those that do not, as one may be ahead here and the other there, are
another; and gains over the baseline are a third. Whoever is shown to be ahead of all others is
ahead of each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.report.analysis import stats
from harness.report.analysis.design import CROSSING, FIXED, MARGIN, OVERALL, PAIRS, Design
from harness.report.analysis.moderated import Moderation
from harness.report.analysis.pairwise import PairTests, as_rows, pair_tests
from harness.report.analysis.problems import (
    OverProblems,
    Ranking,
    against_baseline,
    leader_against_rest,
    over_problems,
    ranking,
    told_apart,
)
from harness.report.analysis.races import Races, races
from harness.report.analysis.results import baseline
from harness.report.analysis.scores import Scores, competing, scores
from harness.report.analysis.stats import Floats, Models
from harness.report.analysis.trained import of_single_seeds
from harness.report.analysis.winners import Standing, cheapest, lead_needed, standings

MORE_SEEDS = (5, 10)
"""Numbers of seeds for which a report tells what they would decide."""


@dataclass(frozen=True)
class Evidence:
    """What is tested, and what is found.

    ``pairs``: every two strategies in every setting, their ``p_holm`` (NaN where it was not asked)
    and ``outcome`` as ``stats.outcome`` of the left [S, P] · ``races``: who wins each setting ·
    ``over`` and ``ranking``: over all problems.
    """

    given: Scores
    design: Design
    pairs: PairTests
    p_holm: Floats
    outcome: NDArray[Any]
    races: Races
    over: list[OverProblems]
    ranking: Ranking

    def pairwise(self) -> pd.DataFrame:
        """Make a row of every two strategies in every setting: ``paired_differences`` with the
        moderated ``half`` and ``p``, ``p_holm``, ``outcome``, and the name of the ``test``."""
        moderated = self.pairs.moderation.freedom > self.pairs.paired.n - 1
        test = np.where(moderated, "moderated t", "paired t").astype(object)
        columns = {
            "half": self.pairs.half,
            "p": self.pairs.p,
            "p_holm": self.p_holm,
            "outcome": self.outcome,
            "test": np.where(self.outcome == "untested", "none", test),
        }
        return as_rows(self.given, self.pairs.paired, columns)


def gather(given: Scores, design: Design = FIXED, baseline: str | None = None) -> Evidence:
    """Make all tests of a suite; ``baseline`` is the label that gains are over."""
    tests, run = pair_tests(given.whole(), given.examples), races(given, design)
    own = given.own()
    over, ranked = over_problems(own, ranking(own))
    p_holm, outcome = _in_settings(given, design, tests, over, run, baseline)
    return Evidence(given, design, tests, p_holm, outcome, run, over, ranked)


def _in_settings(
    given: Scores,
    design: Design,
    tests: PairTests,
    over: list[OverProblems],
    run: Races,
    baseline: str | None,
) -> tuple[Floats, NDArray[Any]]:
    """Test every two in every setting: gains over the baseline, pairs that differ over all
    problems, and all others are a family each, with a part of what there is. Those that a winner
    decides have its p."""
    apart = {(row.left, row.right) for row in over if row.outcome in ("better", "worse")}
    paired, names = tests.paired, given.labels
    asked = np.array(
        [(names[i], names[j]) in apart for i, j in zip(paired.left, paired.right, strict=True)],
        dtype=bool,
    )
    share = np.vectorize(design.share, otypes=["float64"])(paired.n) if paired.n.size else 1.0
    p = np.minimum(tests.p / share, 1)
    leader = np.array([race.leader if race.won else -1 for race in run.each])[:, None]
    won = ((paired.left == leader) | (paired.right == leader)) & (paired.n > 0)
    gains = np.array(
        [baseline in (names[i], names[j]) for i, j in zip(paired.left, paired.right, strict=True)],
        dtype=bool,
    )
    # Which families there are is known before any test; which pairs are in them is not.
    rest = (1 - CROSSING) / (1 + gains.any()) if (~gains).any() else 1.0
    families = [(gains, rest), (asked & ~gains, rest), (~asked & ~gains, CROSSING)]
    p_holm = np.full(p.shape, np.nan)
    for tested, part in families:
        family = tested & ~won
        corrected = stats.holm(np.where(family, p, np.nan).ravel()).reshape(p.shape)
        p_holm = np.where(family, np.minimum(corrected / part, 1), p_holm)
    found = won | (p_holm < PAIRS)
    p_holm = np.where(won, np.array([race.p for race in run.each])[:, None], p_holm)
    direction = np.where(paired.mean > 0, "better", "worse")
    outcome = np.where(np.isnan(tests.p), "untested", np.where(found, direction, "unclear"))
    return p_holm, outcome.astype(object)


@dataclass(frozen=True)
class Overall:
    """What is decided over all problems.

    ``leader``: the highest ``mean`` accuracy (0–1), every problem counted alike, of those that are
    complete everywhere; ``winner``: the same, where it is shown to be ahead of all others: ``p`` is
    below ``alpha`` by ``test``. Of the others, ``tied`` can't be told apart from it, and
    ``untested`` could not be tested. ``cheapest``: what is clearly cheaper than the leader and
    next to as good, or else the leader (``winners.cheapest``). Over so many ``seeds``.
    """

    leader: str | None
    mean: float
    winner: str | None
    p: float
    alpha: float
    test: str
    tied: tuple[str, ...]
    untested: tuple[str, ...]
    cheapest: str | None
    seeds: int


@dataclass(frozen=True)
class Decisions:
    """The decisions that every sentence and every mark of a report follows from.

    ``pairwise``: every two strategies in every setting · ``standings``: who is ahead in each ·
    ``overall``: over all problems · ``gains`` and ``leader``: its tests, against the baseline and
    of the best · ``ranking``: means and average ranks · ``apart``: which of those ranked are told
    apart over all problems [k, k] · ``models``: by setting of one seed, its two best trained
    models · ``moderation``: what the tests in settings went by · ``flagged``: settings
    that keep their own spread · ``seeds``: the median number of them, and ``needed``: the points
    that the first of a setting has to be ahead by to be named its winner, by how many seeds there
    are · ``design``: the looks that it had · ``waiting``: seeds that the
    suite adds are not all done."""

    pairwise: pd.DataFrame
    standings: list[Standing]
    overall: Overall
    gains: list[OverProblems]
    leader: list[OverProblems]
    ranking: Ranking
    apart: NDArray[np.bool_]
    models: Mapping[int, Models]
    moderation: Moderation
    flagged: list[int]
    seeds: int
    needed: Mapping[int, float]
    design: Design
    waiting: bool


def evidence(frame: pd.DataFrame, design: Design = FIXED) -> Evidence:
    """Make all tests of those that compete in the tidy ``frame``."""
    return gather(scores(competing(frame, design)), design, baseline(frame))


def decide(directory: Path, frame: pd.DataFrame, table: pd.DataFrame, tests: Evidence) -> Decisions:
    """Decide everything that a report speaks of, by what was found.

    ``frame`` is tidy, ``table`` its ``summary``; predictions are read from ``directory``. Over all
    problems it is their own tests that count; a further test is a setting by itself.
    """
    pairwise, ranked = tests.pairwise(), tests.ranking
    leader = leader_against_rest(tests.over, ranked)
    by, n = tests.pairs.moderation, tests.pairs.paired.n
    seeds = int(np.median(n[n > 0])) if (n > 0).any() else 0
    ahead = standings(table, pairwise, tests.given, tests.races.each, tests.design)
    return Decisions(
        pairwise=pairwise,
        standings=ahead,
        overall=_overall(table, tests, leader),
        gains=against_baseline(tests.over, baseline(frame)),
        leader=leader,
        ranking=ranked,
        apart=told_apart(tests.over, ranked.labels),
        models=of_single_seeds(directory, frame, ahead),
        moderation=by,
        flagged=tests.given.settings[by.flagged].tolist(),
        seeds=seeds,
        needed={some: lead_needed(by, n, some) for some in (seeds, *MORE_SEEDS)},
        design=tests.design,
        waiting=tests.races.waiting,
    )


def _overall(table: pd.DataFrame, tests: Evidence, leader: list[OverProblems]) -> Overall:
    ranked = tests.ranking
    tied = tuple(row.right for row in leader if row.outcome == "unclear")
    means = dict(zip(ranked.labels, ranked.means, strict=True))
    seconds = table.groupby("label")["seconds_total"].mean()
    groups = {
        label: {"accuracy": mean, "seconds_total": seconds[label]} for label, mean in means.items()
    }
    first = [ranked.leader] if ranked.leader is not None else []
    margin = MARGIN if tests.design.margin is None else tests.design.margin
    return Overall(
        leader=ranked.leader,
        mean=max(means.values(), default=np.nan),
        winner=ranked.winner,
        p=ranked.p,
        alpha=OVERALL,
        test=leader[0].test if leader else "none",
        tied=tied,
        untested=tuple(row.right for row in leader if row.outcome == "untested"),
        cheapest=cheapest(groups, [*first, *tied], margin) if first else None,
        seeds=int(ranked.seeds.sum()),
    )
