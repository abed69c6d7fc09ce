"""``harness suite``: run a suite, or go on with it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.options import (
    format_option,
    load_plugins,
    plugin_options,
    results_option,
    sources,
)

if TYPE_CHECKING:
    from harness.plan.cells import Cell
    from harness.plugins import Registry
    from harness.record.store import Store


@click.command("suite")
@click.argument("suite", metavar="SUITE")
@results_option
@click.option(
    "--only", multiple=True, metavar="KEY=VALUE", help="Run just the cells with, say, label=maml."
)
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change an entry of the suite."
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option(
    "--jobs",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Cells at a time. Cores are divided among them.",
)
@click.option("--executor", default="local", show_default=True, help="The executor plugin.")
@click.option(
    "--tracker", multiple=True, metavar="NAME", help="Follow the run by this tracker plugin."
)
@click.option(
    "--retry", default="", metavar="STATUS,…", help="Run cells again that ended so, as failed,oom."
)
@click.option("--dry-run", is_flag=True, help="Show the cells and what they cost; run nothing.")
@plugin_options
@format_option
def command(
    suite: str,
    results: Path,
    only: tuple[str, ...],
    overrides: tuple[str, ...],
    device: str,
    jobs: int,
    executor: str,
    tracker: tuple[str, ...],
    retry: str,
    dry_run: bool,
    plugin: tuple[Path, ...],
    plugins_dir: tuple[Path, ...],
    output: str,
) -> int:
    """Run a suite, or go on with it, and write its report.

    SUITE is a TOML file, or the name of one in ./suites or of one that comes with the harness.
    Cells that have a record are not run again; the same command goes on where it was stopped.

    \b
    Examples:
      harness suite quickstart
      harness suite mine.toml --plugin my_strategy.py --jobs 2
      harness suite mine.toml --only label=maml --only shots=1,5
      harness suite quickstart --set budget.trials=20 --results results/long
      harness suite quickstart --retry failed,oom
      harness suite quickstart --tracker tensorboard

    \b
    Exit status: 0 all cells ok, 1 some cell is not, 2 wrong usage, 130 interrupted.
    """
    from harness.plan.cells import plan, select
    from harness.plan.configure import Datasets
    from harness.plan.estimate import estimate
    from harness.plan.read import find, read
    from harness.record.store import Store
    from harness.run.job import Place
    from harness.run.suite import (
        pick_device,
        run_suite,
        threads_each,
        unfinished,
    )

    registry = load_plugins(plugin, plugins_dir)
    path = find(suite)
    planned = plan(read(path, overrides, registry), registry, Datasets(registry), where=str(path))
    chosen = select(planned.cells, only)
    directory = (results / planned.suite.name).resolve()
    retried = _statuses(retry)
    place = Place(
        sources=sources(plugin, plugins_dir),
        directory=directory,
        cache=directory.parent / ".cache",
        device=pick_device(device),
        threads=threads_each(jobs),
    )
    runner = registry.get("executor", executor).cls()
    followers = {name: registry.get("tracker", name).cls() for name in tracker}
    if dry_run:
        todo = unfinished(chosen, Store(directory), retried)
        seconds = estimate(todo, Store(directory).records(), registry, place.device)
        _show_plan(chosen, seconds, directory, output)
        return 0

    from harness.run.events import Events
    from harness.run.progress import Progress

    followers["progress"] = Progress(sys.stderr)
    for name, follower in followers.items():
        registry.manager.register(follower, name=name)
    events = Events(registry.manager, lambda line: click.echo(f"harness: {line}", err=True))
    try:
        store = run_suite(planned, chosen, runner, place, events, workers=jobs, retry=retried)
    finally:
        for name in followers:
            registry.manager.unregister(name=name)
    return _conclude(store, chosen, registry, output)


def _statuses(retry: str) -> frozenset[str]:
    from typing import get_args

    from harness.errors import HarnessError, did_you_mean
    from harness.record.schema import Status

    asked = frozenset(word for word in retry.split(",") if word)
    known = [status for status in get_args(Status) if status != "ok"]
    for word in asked - set(known):
        raise HarnessError(
            f"--retry {word}: no such status{did_you_mean(word, known)}", f"Use {', '.join(known)}"
        )
    return asked


def _show_plan(
    chosen: list[Cell], seconds: dict[str, float | None], directory: Path, output: str
) -> None:
    """Print the cells; those in ``seconds`` are still to do, and cost that much."""
    rows = [
        {
            "cell": cell.cell,
            "title": cell.title,
            "done": cell.cell not in seconds,
            "seconds": seconds.get(cell.cell),
        }
        for cell in chosen
    ]
    if output == "json":
        click.echo(json.dumps({"directory": str(directory), "cells": rows}, indent=1))
        return
    for row in rows:
        cost = "done" if row["done"] else _duration(row["seconds"])
        click.echo(f"{row['cell']}  {cost:>9}  {row['title']}")
    known = [cost for cost in seconds.values() if cost is not None]
    total = f": {_duration(sum(known))} on this machine, one at a time" if known else ""
    click.echo(
        f"{len(chosen)} cells, {len(chosen) - len(seconds)} done, {len(seconds)} to do{total}"
    )


def _duration(seconds: Any) -> str:
    if seconds is None:
        return "?"
    if seconds < 100:
        return f"≈ {seconds:.0f} s"
    return f"≈ {seconds / 60:.0f} min" if seconds < 6000 else f"≈ {seconds / 3600:.1f} h"


def _conclude(store: Store, chosen: list[Cell], registry: Registry, output: str) -> int:
    """Write the report, print the results, and tell by the exit status whether all is well."""
    from harness.cli.reporting import report

    page = report(store, registry)
    frame = store.frame()
    if output == "json":
        from harness.record.table import to_json

        click.echo(to_json(frame))
    else:
        from harness.report.results import summary, tidy
        from harness.report.tables import results, terminal

        tidied = tidy(frame)
        table = summary(tidied)
        for facet in table["facet"].unique():  # a table each: side by side they are too wide
            click.echo(terminal(results(tidied, table[table["facet"] == facet])) + "\n")
    click.echo(f"report: {page}", err=True)
    ours = frame[frame.cell.isin([cell.cell for cell in chosen])]
    bad = ours[ours.status != "ok"]
    for row in bad.itertuples():
        click.echo(
            f"{row.status}: {row.label} on {row.problem} (seed {row.seed}): {row.reason}", err=True
        )
    return int(len(bad) > 0)
