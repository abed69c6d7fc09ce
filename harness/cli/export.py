"""``harness export``: print a results folder as a table."""

from __future__ import annotations

import sys
from pathlib import Path

import click


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

    frame = Store(directory).frame()
    if output == "csv":
        frame.to_csv(sys.stdout, index=False)
    elif output == "json":
        click.echo(frame.to_json(orient="records", indent=1))
    else:
        import io

        content = io.BytesIO()  # Parquet is one type a column, and shots are numbers or 'all'
        frame.astype({"shots": "string"}).to_parquet(content, index=False)
        sys.stdout.buffer.write(content.getvalue())
    return 0
