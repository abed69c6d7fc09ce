"""Test strategies over all problems, and rank them.

There are two families of tests, each corrected by Holm's method, and all that a report says goes by
them: every two strategies in every setting (``pairwise``), and every two over all problems
(``over_problems``), with the problems as independent blocks: settings of one problem share data and
splits. Who leads and what is gained over the baseline is read off these, so that of one pair one
thing is said.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.report.analysis import stats
from harness.report.analysis.pairwise import competing
from harness.report.analysis.results import baseline, labels
from harness.report.analysis.stats import ALPHA, Floats, Ranks

MOST_STRATEGIES = 40
"""Strategies that are compared over all problems, at most: the first of the suite."""


def detectable_points(pairwise: pd.DataFrame, seeds: int | None = None) -> float:
    """Estimate the difference, in points, from which two strategies of a setting are told apart.

    With the median spread between seeds, as many ``seeds`` (else the median number), and all
    pairs as one family; NaN where none is tested.
    """
    tested = pairwise[pairwise["p"].notna() & (pairwise["sd"] > stats.SAME)]
    if not len(tested):
        return math.nan
    sd, n = tested["sd"].median(), seeds or tested["n"].median()
    return 100 * float(stats.detectable(sd, n, int(pairwise["p"].notna().sum())))


# ── all settings together ─────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Scores:
    """Accuracies of the strategies that compete, as an array.

    ``values`` [settings, labels, seeds] is NaN where a group is not complete or has no such seed;
    ``problem`` [settings] numbers the problems from 0, in order.
    """

    labels: list[str]
    problem: Any
    values: Floats

    @property
    def problems(self) -> int:
        return int(self.problem[-1]) + 1 if len(self.problem) else 0

    def complete(self) -> Any:
        """Which groups have a result [settings, labels]."""
        return ~np.isnan(self.values).all(axis=2)


def scores(frame: pd.DataFrame) -> Scores:
    """Take the accuracies of the tidy ``frame``, of the first ``MOST_STRATEGIES`` that compete."""
    frame = competing(frame)
    names = labels(frame)[:MOST_STRATEGIES]
    frame = frame[frame["label"].isin(names)]
    settings = frame.drop_duplicates("setting").sort_values("setting")
    whole = frame[frame.groupby(["setting", "label"])["counts"].transform("all")]
    seeds = np.sort(frame["seed"].unique())
    values = np.full((len(settings), len(names), len(seeds)), np.nan)
    at = {label: number for number, label in enumerate(names)}
    values[
        np.searchsorted(settings["setting"], whole["setting"]),
        whole["label"].map(at).to_numpy(dtype=int),
        np.searchsorted(seeds, whole["seed"]),
    ] = whole["accuracy"]
    return Scores(names, pd.factorize(settings["problem"])[0], values)


@dataclass(frozen=True)
class OverProblems:
    """One strategy against another over all problems.

    ``points``, ``half``: the mean difference in percentage points, every problem counted alike,
    and its interval for these problems; ``p`` of ``test``, and ``p_holm`` corrected for all pairs
    of the suite; ``probability`` of improvement; ``low`` and ``high``: an interval for problems
    like these, NaN where they are too few. Over ``settings`` of ``problems``, those where both are
    complete.
    """

    left: str
    right: str
    points: float
    half: float
    p: float
    p_holm: float
    test: str
    probability: float
    low: float
    high: float
    settings: int
    problems: int

    @property
    def outcome(self) -> str:
        """As ``stats.outcome``."""
        return stats.outcome(self.points, self.p_holm)

    def turned(self) -> OverProblems:
        """The same, seen from the other side."""
        return replace(
            self,
            left=self.right,
            right=self.left,
            points=-self.points,
            probability=1 - self.probability,
            low=-self.high,
            high=-self.low,
        )


def over_problems(frame: pd.DataFrame, ranking: Ranking) -> list[OverProblems]:
    """Test every two strategies that compete and are both complete in some setting.

    Intervals for problems like these, which take long, are for pairs with the leader of the
    ``ranking`` or the baseline: those that are shown.
    """
    given, shown = scores(frame), {ranking.leader, baseline(frame)}
    asked = [*combinations(given.labels, 2)]
    rows = [
        row
        for both in asked
        if (row := _over_problems(given, *both, len(asked), general=not shown.isdisjoint(both)))
    ]
    p = stats.holm([row["p"] for row in rows])
    return [OverProblems(**row, p_holm=float(one)) for row, one in zip(rows, p, strict=True)]


def against_baseline(found: Sequence[OverProblems], reference: str | None) -> list[OverProblems]:
    """Select the tests of each strategy against the baseline."""
    rows = [row for row in found if reference in (row.left, row.right)]
    return [row if row.right == reference else row.turned() for row in rows]


def leader_against_rest(found: Sequence[OverProblems], ranking: Ranking) -> list[OverProblems]:
    """Select the tests of the leader against the others that are complete everywhere."""
    leader, whole = ranking.leader, {*ranking.labels}
    rows = [row for row in found if leader in (row.left, row.right)]
    return [
        row if row.left == leader else row.turned()
        for row in rows
        if {row.left, row.right} <= whole
    ]


def told_apart(found: Sequence[OverProblems], labels: Sequence[str]) -> NDArray[np.bool_]:
    """Tell which two of ``labels`` are told apart over all problems [k, k]."""
    place = {label: number for number, label in enumerate(labels)}
    apart = np.zeros((len(place), len(place)), dtype=bool)
    for row in found:
        if row.left in place and row.right in place:
            left, right = place[row.left], place[row.right]
            apart[left, right] = apart[right, left] = row.outcome in ("better", "worse")
    return apart


def _over_problems(
    given: Scores, left: str, right: str, family: int, *, general: bool
) -> dict[str, Any] | None:
    a, b = (given.values[:, given.labels.index(label)] for label in (left, right))
    known = ~np.isnan(a)
    both = known.any(axis=1) & (known == ~np.isnan(b)).all(axis=1)
    if not both.any():
        return None
    paired, chances = [], []
    for problem in np.unique(given.problem[both]):
        here = both & (given.problem == problem)
        # A block is a problem and a seed: its settings share a split, so it is their mean.
        means = (a[here] - b[here]).mean(axis=0)
        paired.append(means[~np.isnan(means)])
        chances.append(
            np.mean(
                [
                    stats.probability_of_improvement(x[~np.isnan(x)], y[~np.isnan(y)])
                    for x, y in zip(a[here], b[here], strict=True)
                ]
            )
        )
    if not all(map(len, paired)):
        return None
    estimate, p, test = tested(paired, family)
    low, high = math.nan, math.nan
    if general and len(paired) >= stats.PROBLEMS_FOR_BOOTSTRAP:
        low, high = stats.two_stage_bootstrap(paired)
    return {
        "left": left,
        "right": right,
        "points": 100 * estimate.value,
        "half": 100 * estimate.half,
        "p": p,
        "test": test,
        "probability": float(np.mean(chances)),
        "low": 100 * low,
        "high": 100 * high,
        "settings": int(both.sum()),
        "problems": len(paired),
    }


def tested(paired: list[Floats], family: int) -> tuple[stats.Estimate, float, str]:
    """Estimate the mean difference over problems, and test it: an interval, p, and the test's name.

    A block, a problem and a seed, is what the null hypothesis lets exchange: all its settings have
    one split, so their differences change sign together. The permutation test needs blocks enough
    to reach ``ALPHA`` after a correction for ``family`` tests; with fewer it is the t test.
    """
    estimate = stats.stratified(paired)
    if stats.least_p(sum(map(len, paired))) * family < ALPHA:
        return estimate, stats.sign_flip(paired), "permutation"
    return estimate, estimate.p, "none" if math.isnan(estimate.p) else "t"


@dataclass(frozen=True)
class Ranking:
    """The strategies that are complete in every setting, over ``problems``.

    ``means``: accuracy, every problem counted alike [labels]. ``ranks`` is None where there are too
    few problems, or fewer than three strategies.
    """

    labels: list[str]
    problems: int
    left_out: list[str]
    means: Floats
    ranks: Ranks | None

    @property
    def leader(self) -> str | None:
        """Who has the highest mean; of several, the first of the suite."""
        return self.labels[int(np.argmax(self.means))] if self.labels else None


def ranking(frame: pd.DataFrame) -> Ranking:
    """Rank the strategies by their mean accuracy on each problem (Demšar 2006)."""
    all_scores = scores(frame)
    means = _problem_means(all_scores)
    problems = all_scores.problems
    whole = np.atleast_1d(~np.isnan(means).any(axis=0))
    names = [label for label, is_whole in zip(all_scores.labels, whole, strict=True) if is_whole]
    left_out = [label for label in all_scores.labels if label not in names]
    enough = problems >= stats.PROBLEMS_FOR_RANKS and len(names) >= 3
    over_problems = stats.exact_ties(means[:, whole].sum(axis=0) / max(problems, 1))
    found = stats.ranks(means[:, whole]) if enough else None
    return Ranking(names, problems, left_out, over_problems, found)


def _problem_means(given: Scores) -> Floats:
    """Average the accuracies of each problem [problems, labels]; NaN where a setting has a gap."""
    known = ~np.isnan(given.values)
    n = known.sum(axis=2)
    sums = np.where(known, given.values, 0.0).sum(axis=2)
    by_setting = sums / np.where(n > 0, n, np.nan)
    means = np.full((given.problems, len(given.labels)), np.nan)
    for problem in range(given.problems):
        means[problem] = by_setting[given.problem == problem].mean(axis=0)
    return means
