"""``inline``: cells in this process, one after the other, for debuggers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from harness.api import Emit, Executor, HarnessError, Job, hookimpl


class Inline(Executor):
    """No process of their own for cells: breakpoints work and prints are seen.

    Nothing stands between a cell and this process. It has no limits of time and memory, its peak
    memory includes what earlier cells left, and if it crashes, so does the run.
    """

    name: ClassVar[str] = "inline"
    alone: ClassVar[bool] = True

    def run(self, jobs: Iterable[Job], emit: Emit, *, workers: Sequence[str]) -> None:
        if len(workers) > 1:
            raise HarnessError(
                "--inline runs one cell at a time", "Give one --device and no --jobs"
            )
        for job in jobs:
            job.run(emit, workers[0])


@hookimpl
def harness_executors() -> list[type[Executor]]:
    return [Inline]
