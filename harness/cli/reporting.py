"""The report with the sections that plugins add."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from harness.plugins import Registry
from harness.record.store import Store
from harness.report.details import collect
from harness.report.page import write_report
from harness.run.events import Events


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without the collector of garbage, which would go through thousands of records again and
    again, and find all of them needed."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


@_uncollected()
def report(store: Store, registry: Registry) -> Path:
    """Write the report of a results folder; a plugin whose section fails is named and left out."""
    known = frame, _ = collect(store)
    events = Events(registry.manager, lambda line: click.echo(f"harness: {line}", err=True))
    given = {"frame": frame, "directory": store.directory}
    return write_report(store.directory, events.collect("harness_report_sections", given), known)
