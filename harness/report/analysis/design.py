"""How the one chance of error that a page has is spent: over its claims, and over looks at it.

Of suites whose strategies are all alike, at most ``ALPHA`` have a page that says anywhere that two
differ. It is the sum of what each kind of claim may spend.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

WINNERS = 0.02
"""Winners of settings, all together."""
OVERALL = 0.01
"""The winner over all problems."""
PAIRS_OVERALL = 0.01
"""Every two strategies over all problems, all pairs together."""
PAIRS = 0.01
"""Every two strategies in every setting."""
CROSSING = 0.2
"""The part of :data:`PAIRS` that is for pairs which do not differ over all problems: where one is
ahead here and the other there, differences are mostly large. The rest is for those that do; half
of it, where there is a baseline, for gains over that."""

MARGIN = 0.01
"""Accuracy by which a cheaper strategy may be behind and still be named beside the best, where a
suite says nothing else: one point."""


@dataclass(frozen=True)
class Look:
    """A look at the first ``seeds`` of every cell, which spends a ``share`` of what there is."""

    seeds: int
    share: float


@dataclass(frozen=True)
class Design:
    """When the results of a suite are looked at to decide who goes on.

    No ``looks``: once, when all is done. ``margin``: a setting is settled too where all that are
    left are shown to be within so much accuracy (0–1) of the first.
    """

    looks: tuple[Look, ...] = ()
    margin: float | None = None

    def share(self, seeds: int) -> float:
        """What a test on so many seeds may spend: that of the first look that had them."""
        return next((look.share for look in self.looks if look.seeds >= seeds), 1.0)


FIXED = Design()


def design(config: Mapping[str, Any]) -> Design:
    """Read the design from the configuration of a suite, as ``plan.json`` has it."""
    seeds = config.get("seeds")
    if not isinstance(seeds, Mapping):
        return FIXED
    counts = looks(seeds["from"], seeds["to"])
    total = len(counts) * (len(counts) + 1) / 2
    shares = [Look(n, place / total) for place, n in enumerate(counts, 1)]
    margin = seeds.get("margin")
    return Design(tuple(shares), None if margin is None else margin / 100)


def looks(first: int, last: int) -> list[int]:
    """How many seeds each look has: 3, 5, 7, 10, 14, 20, and so on between ``first`` and ``last``,
    each two fifths more than the one before. Later ones spend more, as tenths of 1, 2, 3 and 4."""
    counts = [first]
    while counts[-1] < last:
        counts.append(min(-(-7 * counts[-1] // 5), last))
    return counts
