"""``harness score``: put predictions that were made elsewhere beside a suite's results."""

from __future__ import annotations

import json
from pathlib import Path

import click

from harness.cli.options import format_option


@click.command("score")
@click.argument("directory", metavar="DIR/NAME", type=click.Path(path_type=Path))
@click.argument("predictions", metavar="FILE.csv", type=click.Path(path_type=Path))
@click.option("--label", required=True, metavar="NAME", help="What tables are to call them.")
@click.option("--problem", help="The problem, where there are several.")
@click.option("--shots", help="The number of examples a class, where there are several.")
@click.option("--backbone", help="The backbone whose tables they enter, where there are several.")
@click.option(
    "--seed",
    "seeds",
    type=int,
    multiple=True,
    metavar="N",
    help="The seed whose test they answer; may be repeated. Else a column 'seed', or all seeds.",
)
@format_option
def command(
    directory: Path,
    predictions: Path,
    label: str,
    problem: str | None,
    shots: str | None,
    backbone: str | None,
    seeds: tuple[int, ...],
    output: str,
) -> int:
    """Score predictions that were made elsewhere: by another tool, or by people.

    FILE.csv has a column 'id' and either 'class', a class's name, or a column with a probability
    for each class. The ids are those of the test examples in the files of 'harness splits'; all
    have to be there. The report then has a row NAME (made elsewhere), tested as all others are.
    What a tool was trained on is its own affair: it should have been the split of that seed.

    \b
    Examples:
      harness score results/quickstart raters.csv --label raters --shots 5
      harness score results/mine other.csv --label "other tool" --problem leaves --seed 0
    """
    from harness.record.store import Store
    from harness.report.format import percent
    from harness.share.score import score

    asked = {"problem": problem, "shots": shots, "backbone": backbone}
    found = score(Store(directory), predictions, label, asked, seeds)
    rows = [{"cell": each.cell, "title": each.title, "metrics": each.metrics} for each in found]
    if output == "json":
        click.echo(json.dumps(rows, indent=1, ensure_ascii=False))
    else:
        for each in found:
            click.echo(f"{percent(each.metrics['accuracy']):>6} %  {each.title}")
    click.echo(f"harness: to see them in the report: harness report {directory}", err=True)
    return 0
