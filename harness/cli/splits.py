"""``harness splits``: write the splits of a suite as files that others can run with."""

from __future__ import annotations

import re
from pathlib import Path

import click

from harness.cli.options import load_plugins, plugin_options
from harness.errors import HarnessError


@click.command("splits")
@click.argument("suite", metavar="SUITE")
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("splits"),
    show_default=True,
    metavar="DIR",
    help="Where the files go, one a problem.",
)
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change an entry of the suite."
)
@plugin_options
def command(
    suite: str,
    output: Path,
    overrides: tuple[str, ...],
    plugin: tuple[Path, ...],
    plugins_dir: tuple[Path, ...],
) -> int:
    """Write which examples a suite trains, validates and tests on: a file for each problem.

    A problem with splits = "FILE" is run on just these examples, whatever version of the harness
    reads it. Under 'adaptation' the file is of the target. Episodes have none: what they were is
    in the results folder.

    \b
    Examples:
      harness splits quickstart
      harness splits mine.toml --output published
      harness suite mine.toml --set problems.0.splits=published/digits.json
    """
    from harness.plan import splitfile
    from harness.plan.cells import plan
    from harness.plan.datasets import Datasets
    from harness.plan.targets import target_manifest
    from harness.record.files import write_atomically
    from harness.suite.problems import AdaptationProblem, EpisodesProblem
    from harness.suite.read import find, read

    registry = load_plugins(plugin, plugins_dir)
    path = find(suite)
    datasets = Datasets(registry)
    planned = plan(read(path, overrides, registry), registry, datasets, where=str(path)).suite
    written: list[Path] = []
    for number, problem in enumerate(planned.problems):
        if isinstance(problem, EpisodesProblem):
            continue
        shots = ("all",) if isinstance(problem, AdaptationProblem) else problem.shots
        drawn = [
            (each, seed, target_manifest(datasets, problem, each, seed))
            for seed in planned.every_seed
            for each in shots
        ]
        loaded = datasets.load(problem.dataset, problem.args)
        file = output / f"{re.sub('[^A-Za-z0-9._-]+', '-', problem.title)}.json"
        if file in written:
            file = file.with_stem(f"{file.stem}-{number}")
        write_atomically(file, splitfile.write(problem.dataset, loaded, drawn).encode())
        written.append(file)
        click.echo(file)
    if not written:
        raise HarnessError(
            f"{path}: there is no problem with a split", "Episodes are drawn from the seed alone"
        )
    return 0
