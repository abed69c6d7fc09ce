"""Check that what a suite's claims speak of is in the suite."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.errors import did_you_mean
from harness.suite.problems import EpisodesProblem
from harness.suite.schema import Suite


def mistakes(suite: Suite) -> Iterator[str]:
    """A line for each name that a claim has and the suite has not, and for each place that it has
    not."""
    labels = [strategy.title for strategy in suite.strategies]
    places = [*_places(suite)]
    for claim in suite.claims:
        told = f"claim '{claim.title}'"
        for side in dict.fromkeys((claim.left, claim.right)):
            if side not in labels:
                yield f"{told}: there is no strategy '{side}'{did_you_mean(side, labels)}"
        if claim.left == claim.right:
            yield f"{told} compares a strategy with itself"
        where = claim.where.given()
        unknown = False
        for name, value in where.items():
            known = {str(place[name]): None for place in places if place[name] is not None}
            if str(value) not in known:
                unknown = True
                meant = did_you_mean(str(value), known)
                yield f"{told}: no {name} of the suite is '{value}'{meant}"
        if not unknown and not any(where.items() <= place.items() for place in places):
            told_where = ", ".join(f"{name} = '{value}'" for name, value in where.items())
            yield f"{told}: no setting of the suite has all of {told_where}"


def _places(suite: Suite) -> Iterator[Mapping[str, Any]]:
    """What each setting of a suite is, as a claim may name it."""
    for problem in suite.problems:
        for shots in problem.shots:
            for backbone in suite.backbones:
                for test in (None, *(test.title for test in problem.tests)):
                    yield {
                        "problem": problem.title,
                        "shots": shots,
                        "ways": problem.ways if isinstance(problem, EpisodesProblem) else None,
                        "backbone": backbone.title,
                        "test": test,
                    }
