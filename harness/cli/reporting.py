"""The report with the sections that plugins add."""

from __future__ import annotations

from pathlib import Path

import click

from harness.plugins import Registry
from harness.record.store import Store
from harness.report.page import write_report
from harness.run.events import Events


def report(store: Store, registry: Registry) -> Path:
    """Write the report of a results folder; a plugin whose section fails is named and left out."""
    frame = store.frame()
    events = Events(registry.manager, lambda line: click.echo(f"harness: {line}", err=True))
    given = {"frame": frame, "directory": store.directory}
    return write_report(store.directory, events.collect("harness_report_sections", given), frame)
