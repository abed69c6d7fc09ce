"""Test strategies over all problems, and rank them.

A block is a problem and a seed: settings of one problem share data and splits. The differences of
blocks change sign together where two strategies are one, and that is what is tested.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from harness.report.analysis import stats
from harness.report.analysis.design import OVERALL, PAIRS_OVERALL
from harness.report.analysis.pairwise import from_other_side
from harness.report.analysis.scores import Bools, Scores
from harness.report.analysis.stats import Estimate, Floats

MOST_STRATEGIES = 40
"""Strategies that are compared over all problems, at most: the first of the suite."""


@dataclass(frozen=True)
class OverProblems:
    """One strategy against another over all problems.

    ``points``, ``half``: the mean difference in percentage points, every problem counted alike,
    and its interval for these problems; ``p`` of ``test``, and ``p_holm`` corrected for all pairs
    of the suite, or the winner's where it is one of the two; ``outcome``: what is decided of the
    left; ``probability`` of improvement; ``low`` and ``high``: an interval for problems like these,
    NaN where they are too few. Over ``settings`` of ``problems``, those where both are complete,
    and ``seeds`` that both have in all of them.
    """

    left: str
    right: str
    points: float
    half: float
    p: float
    p_holm: float
    outcome: str
    test: str
    probability: float
    low: float
    high: float
    settings: int
    problems: int
    seeds: int

    def turned(self) -> OverProblems:
        """The same, seen from the other side."""
        return replace(
            self,
            left=self.right,
            right=self.left,
            points=-self.points,
            outcome=from_other_side(self.outcome),
            probability=1 - self.probability,
            low=-self.high,
            high=-self.low,
        )


@dataclass(frozen=True)
class Ranking:
    """The strategies that are complete in every setting, over ``problems``.

    ``means``: accuracy, every problem counted alike [labels], over ``seeds`` [R] that all of them
    have in every setting. ``ranks`` [labels]: average ranks, None where there are too few problems,
    or fewer than three strategies. ``p``: that another is as good as the leader, over all problems:
    the highest of its tests against the others. ``winner``: the leader, where that is below
    ``OVERALL``.
    """

    labels: list[str]
    problems: int
    left_out: list[str]
    means: Floats
    seeds: Bools
    ranks: Floats | None
    p: float = math.nan

    @property
    def leader(self) -> str | None:
        """Who has the highest mean; of several, the first of the suite."""
        return self.labels[int(np.argmax(self.means))] if self.labels else None

    @property
    def winner(self) -> str | None:
        return self.leader if self.p < OVERALL else None


def ranking(given: Scores) -> Ranking:
    """Rank the strategies by their mean accuracy on each problem (Demšar 2006)."""
    known, complete = ~np.isnan(given.values), given.complete
    whole = complete.all(axis=0) & (np.arange(len(given.labels)) < MOST_STRATEGIES)
    common = known[:, whole].all(axis=(0, 1))
    whole &= bool(common.any())
    sums = given.values[:, whole][:, :, common].sum(axis=2)
    means = by_problem(given, sums / max(int(common.sum()), 1))
    enough = given.problems >= stats.PROBLEMS_FOR_RANKS and whole.sum() >= 3
    return Ranking(
        labels=[label for label, is_whole in zip(given.labels, whole, strict=True) if is_whole],
        problems=given.problems,
        left_out=[label for label, ok in zip(given.labels, whole, strict=True) if not ok],
        means=stats.exact_ties(means.sum(axis=0) / max(given.problems, 1)),
        seeds=np.asarray(common),
        ranks=stats.ranks(means) if enough else None,
    )


def by_problem(given: Scores, values: Floats) -> Floats:
    """Average settings of each problem: [S, …] to [problems, …]."""
    found = np.full((given.problems, *values.shape[1:]), np.nan)
    for problem in range(given.problems):
        found[problem] = values[given.problem == problem].mean(axis=0)
    return found


def over_problems(given: Scores, ranked: Ranking) -> tuple[list[OverProblems], Ranking]:
    """Test every two strategies that are both complete in some setting, and the leader against all.

    Returns:
        What was found of each two, and the ranking with what was found of its leader.
    """
    compared = [
        found
        for both in combinations(given.labels[:MOST_STRATEGIES], 2)
        if (found := _blocks(given, ranked, *both)) is not None
    ]
    tests = block_tests([each["paired"] for each in compared])
    rows = []
    for each, (estimate, p, test) in zip(compared, tests, strict=True):
        paired = each.pop("paired")
        general = stats.in_general(np.array([part.mean() for part in paired]))
        rows.append(
            OverProblems(
                **each,
                points=100 * estimate.value,
                half=100 * estimate.half,
                p=p,
                p_holm=math.nan,
                outcome="untested",
                test=test,
                low=100 * (general.value - general.half),
                high=100 * (general.value + general.half),
            )
        )
    against = leader_against_rest(rows, ranked)
    highest = float(np.max([row.p for row in against])) if against else math.nan
    ranked = replace(ranked, p=highest)
    return _corrected(rows, ranked), ranked


def _corrected(rows: Sequence[OverProblems], ranked: Ranking) -> list[OverProblems]:
    """Decide of every two, as one family. Whoever is ahead of all others is ahead of each: those
    two are decided, and leave to the rest what was spent on them."""
    whole, winner = {*ranked.labels}, ranked.winner
    won = [winner in (row.left, row.right) and {row.left, row.right} <= whole for row in rows]
    alpha = PAIRS_OVERALL if winner is None else PAIRS_OVERALL + OVERALL
    p = [math.nan if decided else row.p for row, decided in zip(rows, won, strict=True)]
    found = []
    for row, decided, p_holm in zip(rows, won, stats.holm(p).tolist(), strict=True):
        corrected = ranked.p if decided else p_holm
        level = OVERALL if decided else alpha
        told = stats.outcome(row.points, corrected, level)
        found.append(replace(row, p_holm=corrected, outcome=told))
    return found


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


def told_apart(found: Sequence[OverProblems], labels: Sequence[str]) -> Bools:
    """Tell which two of ``labels`` are told apart over all problems [k, k]."""
    place = {label: number for number, label in enumerate(labels)}
    apart = np.zeros((len(place), len(place)), dtype=bool)
    for row in found:
        if row.left in place and row.right in place:
            left, right = place[row.left], place[row.right]
            apart[left, right] = apart[right, left] = row.outcome in ("better", "worse")
    return apart


def _blocks(given: Scores, ranked: Ranking, left: str, right: str) -> dict[str, Any] | None:
    """Pair two strategies where both are complete; None if they have no seed in common there."""
    a, b = (given.values[:, given.labels.index(label)] for label in (left, right))
    here = given.complete[:, [given.labels.index(left), given.labels.index(right)]].all(axis=1)
    everywhere = {left, right} <= {*ranked.labels}
    known = ~np.isnan(a[here]) & ~np.isnan(b[here])
    seeds = ranked.seeds if everywhere else known.all(axis=0)
    if not here.any() or not seeds.any():
        return None
    paired, chances = [], []
    for problem in np.unique(given.problem[here]):
        mine = here & (given.problem == problem)
        one, other = a[mine][:, seeds], b[mine][:, seeds]
        paired.append((one - other).mean(axis=0))
        chances.append(stats.probability_of_improvement(one, other))
    return {
        "left": left,
        "right": right,
        "paired": paired,
        "probability": float(np.mean(chances)),
        "settings": int(here.sum()),
        "problems": len(paired),
        "seeds": int(seeds.sum()),
    }


def block_tests(
    pairs: Sequence[Sequence[Floats]], alpha: float = PAIRS_OVERALL
) -> list[tuple[Estimate, float, str]]:
    """Estimate mean differences over problems, and test them as one family.

    ``pairs``: of each pair, the paired differences of each problem. The permutation test needs
    blocks enough to reach ``alpha`` after a correction for so many tests; with fewer it is the t
    test of :func:`stats.stratified`.

    Returns:
        Of each pair the estimate, p, not corrected, and the name of the test.
    """
    estimates = [stats.stratified(paired) for paired in pairs]
    found = [(each, each.p, "none" if math.isnan(each.p) else "t") for each in estimates]
    blocks = [stats.weighted(paired) for paired in pairs]
    for size in {len(block) for block in blocks}:
        if stats.least_p(size) * len(pairs) < alpha:
            places = [place for place, block in enumerate(blocks) if len(block) == size]
            flipped = stats.sign_flips(np.stack([blocks[place] for place in places], axis=1))
            for place, p in zip(places, flipped, strict=True):
                found[place] = (estimates[place], float(p), "permutation")
    return found
