"""The report with the sections that plugins add."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from harness.record.provenance import cores
from harness.record.store import Store
from harness.report.workers import pool
from harness.run.events import Events

if TYPE_CHECKING:
    from harness.contract import Section
    from harness.registry import Registry
    from harness.report.analysis.report import Report

MANY_CELLS = 500
"""Planned cells from which on several processes make a report: starting them takes time."""

MOST_PROCESSES = 8
"""Processes, at most: there are no more plots."""


@contextmanager
def _uncollected() -> Iterator[None]:
    """Switch garbage collection off: it would go through thousands of records again and again, and
    find all of them in use."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def say(line: str) -> None:
    """Tell the user something that is no result."""
    print(f"harness: {line}", file=sys.stderr)


@_uncollected()
def report(store: Store, load: Callable[[], Registry]) -> tuple[Path, Report]:
    """Write the report of a results folder; a plugin whose section fails is named and left out.

    Args:
        load: gives the plugins, which take long to import: as late as possible.

    Returns:
        The page, and what was reported.
    """
    many = len(store.plan().cells) >= MANY_CELLS
    with pool(min(cores() or 1, MOST_PROCESSES) if many else 1) as submit:
        # Imported while the others start: it takes as long.
        from harness.report.analysis.report import analyse
        from harness.report.write import write_report

        found = analyse(store, submit)

        def sections() -> list[Section]:
            events = Events(load().manager, say)
            rows = found.records[found.records["test"].isna()]  # a row a cell
            given = {"frame": rows, "directory": store.directory}
            return events.collect("harness_report_sections", given)

        return write_report(found, sections, submit), found
