"""Decide who wins each setting: by rank verification, in one look or in several.

The leader is chosen by the data. That it is ahead of all others is shown where it is told apart
from the one that is hardest to tell it from, without a correction for how many there are (Gutmann &
Maymin 1987; Hung & Fithian 2019). Settings are corrected for by Holm's method.

Where a suite adds seeds, each look spends its share; a setting that is decided leaves what it had
to the others (Maurer & Bretz 2013), and takes no further seeds; nor does a strategy that is beaten.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from harness.report.analysis.design import FIXED, WINNERS, Design, Look
from harness.report.analysis.pairwise import PairTests, pair_tests
from harness.report.analysis.scores import Scores, Whole
from harness.report.analysis.stats import ALPHA, Floats, exact_ties, holm, t_quantile


@dataclass
class Race:
    """The race of one setting; strategies are told by their places.

    ``alive``: those that go on, or were never beaten · ``wanted`` [K]: seeds that each is to have ·
    ``leader``: None where there are not two to compare · ``p``: of the leader against the one that
    is hardest to tell it from, corrected for settings and looks · ``won``: it is ahead of all
    others · ``equal``: all others that are left are within the margin of it.
    """

    alive: list[int]
    wanted: Whole
    leader: int | None = None
    p: float = math.nan
    won: bool = False
    equal: bool = False
    others: list[int] = field(default_factory=list)

    @property
    def goes_on(self) -> bool:
        return not self.won and not self.equal and len(self.alive) > 1


@dataclass(frozen=True)
class Races:
    """The race of each setting. ``waiting``: cells that the next look takes have not all ended, so
    that nothing is decided from there on."""

    each: list[Race]
    waiting: bool

    @property
    def wanted(self) -> Whole:
        """Seeds that the cells of each setting and strategy are to have, as far as known [S, K]."""
        return np.array([race.wanted for race in self.each])


def races(given: Scores, design: Design = FIXED) -> Races:
    """Run the race of every setting, look by look.

    A look depends on the results up to it and on nothing else, so that whoever looks again, or at
    the same time, decides the same.
    """
    settings, strategies, seeds = given.values.shape
    first = design.looks[0].seeds if design.looks else seeds
    found = [Race([*range(strategies)], np.full(strategies, first)) for _ in range(settings)]
    for look in design.looks or (Look(seeds, 1.0),):
        going = [race for race in found if race.goes_on]
        for race in going if design.looks else ():
            race.wanted[race.alive] = look.seeds
        asked = given if not design.looks else _asked(given, found)
        if design.looks and (look.seeds > seeds or (asked.planned & ~asked.ended).any()):
            return Races(found, waiting=bool(going))
        values = asked.whole()
        for race, own in zip(found, values, strict=True):
            if race.goes_on:
                race.alive = [k for k in race.alive if not np.isnan(own[k]).all()]
        _look(found, values, pair_tests(values, given.examples), look, design.margin)
    return Races(found, waiting=False)


def _asked(given: Scores, found: Sequence[Race]) -> Scores:
    """The scores of the seeds that are wanted."""
    wanted = np.array([race.wanted for race in found])
    return replace(given, planned=np.arange(given.values.shape[2]) < wanted[:, :, None])


def _look(
    found: Sequence[Race], values: Floats, tests: PairTests, look: Look, margin: float | None
) -> None:
    going = {s: race for s, race in enumerate(found) if race.goes_on}
    leads = {s: _lead(race, values[s], tests, s, look) for s, race in going.items()}
    # Those that were settled without a winner keep their part of what there is to spend.
    hardest = [
        leads[s].p.max() if s in leads else math.nan if race.won or not race.others else 1.0
        for s, race in enumerate(found)
    ]
    adjusted = np.minimum(holm(hardest) / look.share, 1)
    for s, race in going.items():
        race.p = float(adjusted[s])
        race.won = race.p < WINNERS
    level = WINNERS * look.share / max(sum(bool(r.others) and not r.won for r in found), 1)
    for s, race in going.items():
        if not race.won:
            left = [k for k, p in zip(race.others, leads[s].p, strict=True) if not p < level]
            within = dict(zip(race.others, leads[s].most, strict=True))
            race.equal = margin is not None and all(within[k] <= margin for k in left)
            race.alive = [k for k in race.alive if k == race.leader or k in left]


@dataclass(frozen=True)
class _Lead:
    """The leader against the others: ``p``, and ``most``: how far it may be ahead of each."""

    p: Floats
    most: Floats


def _lead(race: Race, values: Floats, tests: PairTests, s: int, look: Look) -> _Lead:
    """Find who leads a setting, by the accuracies [K, R] of those that go on."""
    means = exact_ties(np.nanmean(values[race.alive], axis=1))
    race.leader = leader = race.alive[int(np.argmax(means))]
    race.others = others = [k for k in race.alive if k != leader]
    paired, by = tests.paired, tests.moderation
    place = np.zeros((len(values), len(values)), dtype=int)
    place[paired.left, paired.right] = place[paired.right, paired.left] = np.arange(
        len(paired.left)
    )
    at = place[leader, others]
    ahead = np.abs(paired.mean[s, at])
    reach = t_quantile(1 - ALPHA * look.share, by.freedom[s, at]) * by.sd[s, at]
    return _Lead(tests.p[s, at], ahead + reach / np.sqrt(np.maximum(paired.n[s, at], 1)))
