"""``harness export``: print a results folder as a table."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.errors import HarnessError

if TYPE_CHECKING:
    import pandas as pd


@click.command("export")
@click.argument("directory", metavar="DIR/NAME", type=click.Path(path_type=Path))
@click.option(
    "--what",
    type=click.Choice(["cells", "trials", "predictions", "claims"]),
    default="cells",
    show_default=True,
    help="What a row is: a planned cell, a trial of one, an example that one was tested on, or a "
    "published claim of the suite in a setting.",
)
@click.option(
    "--format",
    "output",
    type=click.Choice(["csv", "parquet", "json"]),
    default="csv",
    show_default=True,
    help="What to print on standard output.",
)
def command(directory: Path, what: str, output: str) -> int:
    """Print a results folder as a tidy table on standard output: one row a planned cell.

    A cell that was not run has status 'pending'; what a row does not have is empty.
    In Python, harness.load("DIR/NAME") gives the same tables as DataFrames.

    \b
    Examples:
      harness export results/quickstart > quickstart.csv
      harness export results/quickstart --what trials > trials.csv
      harness export results/quickstart --format parquet > quickstart.parquet
    """
    import harness
    from harness.record.table import to_csv, to_json, to_parquet

    if output == "parquet" and sys.stdout.isatty():
        raise HarnessError("Parquet is no text for a terminal", "Add > FILE.parquet")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", UserWarning)
        frame = _claims(directory) if what == "claims" else getattr(harness.load(directory), what)
    for warning in caught:
        click.echo(f"harness: {warning.message}", err=True)
    if output == "parquet":
        sys.stdout.buffer.write(to_parquet(frame))
    else:
        click.echo(to_csv(frame) if output == "csv" else to_json(frame), nl=False)
    return 0


def _claims(directory: Path) -> pd.DataFrame:
    from harness.record.store import Store
    from harness.record.table import typed
    from harness.report.analysis.claims import of_folder

    return typed(of_folder(Store(directory)).drop(columns="facet"))
