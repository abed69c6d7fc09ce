"""Further tests of what a problem trains: what they mean, and what keeps them from being made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.data.loaded import Loaded
from harness.data.protocols import class_numbers
from harness.plan.fingerprint import corrected
from harness.plan.resolve import ResolvedProblem, messages


def mistakes(problem: ResolvedProblem) -> Iterator[str]:
    """What keeps a problem's predictors from being tested on other data too."""
    for test in problem.tests:
        where = f"problem '{problem.spec.title}', test '{test.spec.title}'"
        if test.modality != problem.modality:
            yield (
                f"{where} is {test.modality}, but dataset '{problem.spec.dataset}' is "
                f"{problem.modality}. Choose another"
            )
            continue
        if test.loaded.digest == problem.loaded.digest:
            yield f"{where} is the same data as the problem, which is tested anyway: remove it"
            continue
        for line in messages(_numbers, test.loaded, problem.loaded):
            yield f"{where}: {line}"


def _numbers(test: Loaded, problem: Loaded) -> None:
    class_numbers(test.data, problem.data, ("test", "problem"))


def meaning(problem: ResolvedProblem) -> dict[str, Any]:
    """What further tests add to the meaning of cells: nothing, where there are none."""
    if not problem.tests:
        return {}
    return {
        "tests": {
            test.spec.title: {"data": test.loaded.digest, **corrected(test.loaded)}
            for test in problem.tests
        }
    }
