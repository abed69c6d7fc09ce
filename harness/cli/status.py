"""``harness status``: how far a suite is, whoever runs it."""

from __future__ import annotations

import json
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.options import format_option

if TYPE_CHECKING:
    from harness.record.monitor import Monitor, Snapshot

EVERY = 2.0
"""Seconds between two looks."""


@click.command("status")
@click.argument("directory", metavar="DIR/NAME", type=click.Path(path_type=Path))
@click.option(
    "--watch",
    is_flag=True,
    help="Look again every 2 seconds, until all have ended. Without a terminal, tell each change "
    "in a line on standard error, and the state at the end.",
)
@click.option("--cells", is_flag=True, help="Show every cell in a line of its own, too.")
@format_option
def command(directory: Path, watch: bool, cells: bool, output: str) -> int:
    """Show how far a suite is: what has ended, what runs where, what went wrong, what is left.

    Works on a folder that another process or another machine is running; it only reads. A cell
    whose worker has given no sign for a minute, or was killed on this machine, counts as waiting.
    The time left is what like cells took, divided by how many run now.

    \b
    Examples:
      harness status results/quickstart
      harness status results/quickstart --watch
      harness status results/quickstart --format json

    \b
    Exit status: 0 all cells ok, 1 all have ended and some is not ok, 2 wrong usage, 3 some are
    still running or waiting.
    """
    from harness.record.monitor import Monitor
    from harness.record.store import Store
    from harness.report.status_text import headline

    monitor = Monitor(Store(directory))
    if watch and sys.stdout.isatty() and output == "table":
        found = _watched(monitor, cells)
    else:
        found, told = monitor.look(), ""
        while watch and not found.ended:
            if told != (told := headline(found)):
                click.echo(told, err=True)
            time.sleep(EVERY)
            found = monitor.look()
        click.echo(_shown(found, cells, output))
    if not found.ended:
        return 3
    return int(any(cell.state != "ok" for cell in found.cells))


def _watched(monitor: Monitor, cells: bool) -> Snapshot:
    """Redraw until all have ended, or the user has seen enough."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    found = monitor.look()
    with Live(console=Console(), auto_refresh=False) as live:
        try:
            while True:
                live.update(Text(_shown(found, cells, "table")), refresh=True)
                if found.ended:
                    break
                time.sleep(EVERY)
                found = monitor.look()
        except KeyboardInterrupt:
            pass  # watching stops, and nothing else
    return found


def _shown(found: Snapshot, cells: bool, output: str) -> str:
    from harness.report.status_text import as_json, lines

    if output == "json":
        return json.dumps(as_json(found), indent=1, ensure_ascii=False)
    return "\n".join(lines(found, shutil.get_terminal_size().columns, cells))
