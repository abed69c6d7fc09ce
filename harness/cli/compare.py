"""``harness compare``: two strategies of a results folder, or two folders, against each other."""

from __future__ import annotations

import json
from pathlib import Path

import click

from harness.cli.options import format_option


@click.command("compare")
@click.argument("directory", metavar="DIR/NAME", type=click.Path(path_type=Path))
@click.argument("others", metavar="LEFT RIGHT | DIR/OTHER", nargs=-1, required=True)
@click.option(
    "--metric", default="accuracy", show_default=True, help="Any numeric column of the export."
)
@format_option
def command(directory: Path, others: tuple[str, ...], metric: str, output: str) -> int:
    """Compare two strategies of a results folder, or two folders, and say what is surely so.

    LEFT and RIGHT are labels of the suite. Two folders are compared cell by cell: those of one
    label, problem, shots, backbone and seed.

    \b
    Examples:
      harness compare results/quickstart linear_probe full_finetune
      harness compare results/quickstart maml full_finetune --metric log_loss
      harness compare results/before results/after --format json
    """
    from harness.errors import HarnessError
    from harness.report.analysis.compare import two_folders, two_labels

    match others:
        case (left, right):
            found = two_labels(directory, left, right, metric)
        case (other,) if Path(other).is_dir():
            found = two_folders(directory, Path(other), metric)
        case (other,):
            raise HarnessError(
                f"there is no folder '{other}'", "Name two strategies of a folder, or two folders"
            )
        case _:
            raise click.UsageError("name two strategies of a folder, or two folders.")
    if output == "json":
        from harness.report.comparison_text import as_json

        click.echo(json.dumps(as_json(found), indent=1, ensure_ascii=False))
    else:
        from harness.report.terminal import comparison

        click.echo(comparison(found))
    return 0
