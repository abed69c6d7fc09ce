"""``harness export``: print a results folder as a table."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from harness.errors import HarnessError


@click.command("export")
@click.argument("directory", metavar="DIR/NAME", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "output",
    type=click.Choice(["csv", "parquet", "json"]),
    default="csv",
    show_default=True,
    help="What to print on standard output.",
)
def command(directory: Path, output: str) -> int:
    """Print a results folder as a tidy table on standard output: one row a planned cell.

    A cell that was not run has status 'pending'; what a cell does not have is empty.

    \b
    Examples:
      harness export results/quickstart > quickstart.csv
      harness export results/quickstart --format parquet > quickstart.parquet
    """
    from harness.record.store import Store
    from harness.record.table import to_csv, to_json, to_parquet

    frame = Store(directory).frame()
    if output == "parquet":
        if sys.stdout.isatty():
            raise HarnessError("Parquet is no text for a terminal", "Add > FILE.parquet")
        sys.stdout.buffer.write(to_parquet(frame))
    else:
        click.echo(to_csv(frame) if output == "csv" else to_json(frame), nl=False)
    return 0
