"""``harness suite``: run a suite, or go on with it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.options import (
    duration,
    format_option,
    load_plugins,
    plugin_options,
    results_option,
    sources,
)

if TYPE_CHECKING:
    from harness.plan.cell import Cell
    from harness.record.store import Store
    from harness.registry import Registry
    from harness.report.analysis.looks import Needed
    from harness.suite.schema import Suite


@click.command("suite")
@click.argument("suite", metavar="SUITE")
@results_option
@click.option(
    "--only",
    multiple=True,
    metavar="KEY=VALUE",
    help="Run just the cells with, say, label=maml or shots=1,5.",
)
@click.option(
    "--shard",
    metavar="I/N",
    help="Run just the I-th of N parts of the cells, as 1/4: for a file system without locks.",
)
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change an entry of the suite."
)
@click.option(
    "--device",
    default="auto",
    show_default=True,
    metavar="NAME[,N…]",
    help="auto, cpu, cuda, cuda:N, or several as cuda:0,1: cells take turns on them.",
)
@click.option(
    "--jobs",
    type=click.IntRange(1),
    help="Cells at a time: by default one a GPU, and on the CPU alone as many as there are cores "
    "and memory for. A cell computes with [budget] threads, whatever is said here.",
)
@click.option("--executor", default="local", show_default=True, help="The executor plugin.")
@click.option(
    "--executor-arg",
    multiple=True,
    metavar="NAME=VALUE",
    help="An argument of the executor, as runners=8 of slurm. May be repeated.",
)
@click.option(
    "--inline",
    "executor",
    flag_value="inline",
    help="Run cells in this process, for debuggers: without limits, and a crash ends the run.",
)
@click.option(
    "--tracker", multiple=True, metavar="NAME", help="Follow the run by this tracker plugin."
)
@click.option(
    "--retry", default="", metavar="STATUS,…", help="Run cells again that ended so, as failed,oom."
)
@click.option(
    "--purse",
    callback=duration,
    metavar="TIME",
    help="Begin only what will end within this time, as 30m, 2h or 1d: all strategies of a setting "
    "and a seed, or none.",
)
@click.option(
    "--share-trials",
    is_flag=True,
    help="Let workers without a cell of their own do trials of the cells that run: for few cells of"
    " many trials. With [budget] sampler = 'random' and no pruner, results are the same.",
)
@click.option(
    "--trial-storage",
    metavar="URL",
    help="The same between machines without a common folder: an Optuna storage, as "
    "postgresql+psycopg://USER@HOST/NAME. Each runs the command, and ends with all results.",
)
@click.option(
    "--no-wait",
    is_flag=True,
    help="End when all cells that are left are at work elsewhere: the last command to end writes "
    "the report.",
)
@click.option("--dry-run", is_flag=True, help="Show the cells and what they cost; run nothing.")
@plugin_options
@format_option
def command(
    suite: str,
    results: Path,
    only: tuple[str, ...],
    shard: str | None,
    overrides: tuple[str, ...],
    device: str,
    jobs: int | None,
    executor: str,
    executor_arg: tuple[str, ...],
    tracker: tuple[str, ...],
    retry: str,
    purse: float | None,
    share_trials: bool,
    trial_storage: str | None,
    no_wait: bool,
    dry_run: bool,
    plugin: tuple[Path, ...],
    plugins_dir: tuple[Path, ...],
    output: str,
) -> int:
    """Run a suite, or go on with it, and write its report.

    SUITE is a TOML file, or the name of one in ./suites or of one that comes with the harness.
    Relative paths in it are taken from the current folder.
    Cells that have a record are not run again; the same command goes on where it was stopped, by
    Ctrl-C (twice: at once) or by a crash. Several commands on one folder share the work. Where the
    suite says seeds = { from = 3, to = 10 }, seeds are added to settings without a winner.

    \b
    Examples:
      harness suite quickstart
      harness suite mine.toml --plugin my_strategy.py --jobs 2
      harness suite mine.toml --only label=maml --only shots=1,5
      harness suite quickstart --set budget.trials=20 --results results/long
      harness suite quickstart --retry failed,oom
      harness suite mine.toml --device cuda:0,1 --jobs 4
      harness suite mine.toml --inline --only label=mine
      harness suite quickstart --tracker tensorboard
      harness suite mine.toml --purse 2h
      harness suite mine.toml --only label=lora --device cuda:0,1 --share-trials
      harness suite mine.toml --only label=lora --trial-storage postgresql+psycopg://me@db/trials
      harness suite mine.toml --shard 1/4
      harness suite mine.toml --executor slurm --executor-arg runners=8 --executor-arg gpus=1

    \b
    Exit status: 0 all cells ok, 1 some cell is not, 2 wrong usage, 130 interrupted.
    """
    from harness.cli.submitting import executor_args, submit
    from harness.executor import SubmittingExecutor
    from harness.plan.cells import plan, select
    from harness.plan.configure import configure
    from harness.plan.datasets import Datasets
    from harness.plan.estimate import estimate
    from harness.plan.notes import notes_told
    from harness.plan.shards import cells_of, parse
    from harness.record.command import Command
    from harness.record.store import Store
    from harness.record.trial_storage import check
    from harness.report.analysis.looks import needed
    from harness.run.place import has_locks, memory_each, place_for
    from harness.run.suite import run_suite, unfinished
    from harness.suite.read import find, read

    registry = load_plugins(plugin, plugins_dir)
    runner = configure(registry.get("executor", executor), executor_args(executor_arg))
    if not dry_run:
        runner.start()
    path = find(suite)
    datasets = Datasets(registry)
    asked = Command(
        suite=suite,
        overrides=overrides,
        plugins=tuple(map(str, plugin)),
        plugins_dirs=tuple(map(str, plugins_dir)),
        results=None if results == Path("results") else str(results),
    )
    laid_out = plan(read(path, overrides, registry), registry, datasets, where=str(path))
    planned = replace(laid_out, command=asked)
    chosen = select(planned.cells, only)
    if shard is not None:
        mine = {cell.cell for cell in cells_of(parse(shard), planned.cells)}
        chosen = [cell for cell in chosen if cell.cell in mine]
        if not chosen:
            _say(f"there are no cells in part {shard} of {len(planned.cells)} cells")
            return 0
    directory = (results / planned.suite.name).resolve()
    retried = _statuses(retry)

    def so_far() -> Needed:
        return needed(planned.cells, Store(directory), planned.to_json().config)

    if isinstance(runner, SubmittingExecutor) and not dry_run:
        submit(runner, planned, Store(directory), so_far().now, jobs or 1)
        return 0
    if trial_storage is not None:
        check(trial_storage)
    known = Store(directory).records()
    place = place_for(
        planned.suite,
        directory,
        runner,
        sources(plugin, plugins_dir),
        known,
        device=device,
        jobs=jobs,
        share=share_trials,
        trial_storage=trial_storage,
        locks=dry_run or has_locks(directory, shard),
    )
    workers = place.workers
    followers = {name: registry.get("tracker", name).cls() for name in tracker}

    if dry_run:
        from harness.cli.dry_run import Needs, show
        from harness.plan.disk import disk

        found = so_far()
        wanted = [cell for cell in chosen if cell.cell in found.now]
        todo = unfinished(wanted, Store(directory), retried)
        later = [cell for cell in chosen if cell.cell in found.later]
        needs = Needs(
            estimate([*todo, *later], known, registry, datasets, workers[0]),
            disk([*todo, *later], known, registry),
            memory_each(planned.suite.limits, known),
        )
        show(wanted, todo, later, needs, len(workers), Store(directory), output)
        return 0

    from harness.report.status_text import lines
    from harness.run import stopping
    from harness.run.events import Events
    from harness.run.progress import ProgressTracker
    from harness.run.purse import Purse

    def expected(cells: Sequence[Cell]) -> float:
        known = Store(directory).records()
        each = estimate(cells, known, registry, datasets, workers[0]).values()
        return sum(seconds or 0.0 for seconds in each)

    for title, sentence in notes_told(datasets, chosen):
        _say(f"problem '{title}': {sentence}")
    followers["progress"] = ProgressTracker(sys.stderr, lines, len(workers))
    for name, follower in followers.items():
        registry.manager.register(follower, name=name)
    events = Events(registry.manager, _say)
    try:
        with stopping.at_signals(lambda: _say(stopping.STOPPING)):
            store = run_suite(
                planned,
                chosen,
                runner,
                place,
                events,
                retry=retried,
                needed=lambda: so_far().now,
                waits=not no_wait,
                purse=None if purse is None else Purse(purse, expected, len(workers)),
                warn=_say,
            )
    finally:
        for name in followers:
            registry.manager.unregister(name=name)
    if stopping.asked():
        raise KeyboardInterrupt
    if purse is not None and (left := unfinished(chosen, Store(directory), retried)):
        _say(f"{len(left)} of {len(chosen)} cells were left undone: the same command goes on")
    if no_wait and (left := unfinished(chosen, Store(directory), retried)):
        _say(f"{len(left)} of {len(chosen)} cells are at work elsewhere: no report is written yet")
        return 0
    if spared := len(planned.cells) - len(so_far().now):
        _say(f"{spared} of {len(planned.cells)} cells were not needed")
    return _conclude(store, planned.suite, chosen, registry, output)


def _say(line: str) -> None:
    click.echo(f"harness: {line}", err=True)


def _statuses(retry: str) -> frozenset[str]:
    from typing import get_args

    from harness.errors import HarnessError, did_you_mean
    from harness.record.schema import Status

    asked = frozenset(word.strip() for word in retry.split(",")) - {""}
    known = [status for status in get_args(Status) if status != "ok"]
    if unknown := sorted(asked.difference(known)):
        told = ", ".join(f"'{word}'{did_you_mean(word, known)}" for word in unknown)
        raise HarnessError(f"--retry {retry}: no such status: {told}", f"Use {', '.join(known)}")
    return asked


def _conclude(
    store: Store, suite: Suite, chosen: list[Cell], registry: Registry, output: str
) -> int:
    """Write the report, print the results, and tell by the exit status whether all is well."""
    from harness.report.format import STATES
    from harness.reporting import report
    from harness.ship.kept import prune

    page, found = report(store, lambda: registry)
    if output == "json":
        from harness.record.table import to_json, typed

        click.echo(to_json(typed(found.records)))
    else:
        from harness.report.terminal import results

        click.echo(results(found), nl=False)
    if kept := prune(store, found, suite):
        _say(kept)
    click.echo(f"report: {page}", err=True)
    ours = {cell.cell for cell in chosen}
    bad = [mine for fault in found.details.faults if (mine := fault.among(ours)).cells]
    for fault in bad:
        logs = [log for _, log in fault.cells if log]
        log = f" (log: {store.directory / logs[0]})" if logs else ""
        click.echo(f"{fault.status}: {fault.where}: {fault.reason}{log}", err=True)
    for status in dict.fromkeys(fault.status for fault in bad):
        click.echo(f"{status}: {STATES[status][1]}", err=True)
    return int(bool(bad))
