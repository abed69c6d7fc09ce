"""``harness init``: write a suite for data, or copy one that comes with the harness."""

from __future__ import annotations

import math
from pathlib import Path

import click

from harness.cli.options import load_plugins, plugin_options
from harness.errors import HarnessError


@click.command("init")
@click.argument("data", metavar="[DATA]", required=False, type=click.Path(path_type=Path))
@click.option(
    "--from", "bundled", metavar="SUITE", help="Copy a suite that comes with the harness instead."
)
@click.option(
    "--minutes",
    type=click.FloatRange(min=0, min_open=True),
    default=30.0,
    show_default=True,
    metavar="N",
    help="How long the suite may take on this machine.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Where the suite goes: by default NAME.toml in the current folder.",
)
@plugin_options
def command(
    data: Path | None,
    bundled: str | None,
    minutes: float,
    output: Path | None,
    plugin: tuple[Path, ...],
    plugins_dir: tuple[Path, ...],
) -> int:
    """Look at DATA, and write a suite that compares strategies on them.

    DATA is a folder with a folder of images a class, an archive of one, a CSV file of texts or of
    paths of images, or an npz file. Model, image size, shots and budget are chosen so that the
    suite takes no more than so many minutes here, by one step of the model that is timed. The suite
    has comments, and is yours to change. Nothing is written over.

    \b
    Examples:
      harness init data/leaves
      harness init reviews.csv --minutes 10 --output reviews.toml
      harness init --from quickstart
    """
    if (data is None) == (bundled is None):
        raise HarnessError(
            "name DATA, or a suite by --from",
            "'harness init data/leaves' looks at data, 'harness init --from quickstart' copies",
        )
    if bundled is not None:
        return _copy(bundled, output)
    assert data is not None
    return _begin(data, minutes, output, plugin, plugins_dir)


def _copy(bundled: str, output: Path | None) -> int:
    from harness.suite.read import find

    path = find(bundled)
    _write(output or Path(path.name), path.read_bytes())
    return 0


def _begin(
    data: Path,
    minutes: float,
    output: Path | None,
    plugin: tuple[Path, ...],
    plugins_dir: tuple[Path, ...],
) -> int:
    from harness.plan.cells import plan
    from harness.plan.datasets import Datasets
    from harness.report.format import duration
    from harness.start.looking import find
    from harness.start.proposal import propose, suite_name

    file = output or Path(f"{suite_name(data)}.toml")
    _refuse_existing(file)
    registry = load_plugins(plugin, plugins_dir)
    datasets = Datasets(registry)
    found = find(data, registry, datasets)
    for line in found.told():
        click.echo(f"{data}: {line}", err=True)
    proposal = propose(found, registry, file, minutes)
    planned = plan(proposal.suite, registry, datasets, str(file))
    _write(file, proposal.text.encode())
    if proposal.training is not None:
        click.echo(
            f"left out: what trains more than a head, for which {math.ceil(proposal.training / 60)}"
            " minutes would do (--minutes)",
            err=True,
        )
    takes = f"{len(planned.cells)} cells, about {duration(proposal.seconds)} on this machine"
    if proposal.seconds > 60 * minutes:
        takes += f": more than {duration(60 * minutes)}, but nothing takes less"
    click.echo(takes, err=True)
    click.echo(f"next: harness suite {file}", err=True)
    return 0


def _refuse_existing(file: Path) -> None:
    if file.exists():
        raise HarnessError(
            f"{file} is there already, and nothing is written over", "Name another by --output"
        )


def _write(file: Path, content: bytes) -> None:
    from harness.record.files import write_atomically

    _refuse_existing(file)
    write_atomically(file, content)
    click.echo(file)
