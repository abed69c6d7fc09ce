"""``harness reproduce``: run a bundle again, and tell how far it agrees."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.choosing import say
from harness.cli.options import format_option, load_plugins, plugin_options, sources

if TYPE_CHECKING:
    from harness.share.reproduce import Agreement


@click.command("reproduce")
@click.argument("bundle", metavar="FILE.zip", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--only", type=click.IntRange(1), metavar="N", help="Run so many cells, always the same ones."
)
@click.option(
    "--to",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="The new results folder; reproduced/NAME by default.",
)
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change an entry of the suite, such as where its data are here.",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--jobs", type=click.IntRange(1), help="Cells at a time.")
@click.option("--executor", default="local", show_default=True, help="The executor plugin.")
@plugin_options
@format_option
def command(
    bundle: Path,
    only: int | None,
    to: Path | None,
    overrides: tuple[str, ...],
    device: str,
    jobs: int | None,
    executor: str,
    plugin: tuple[Path, ...],
    plugins_dir: tuple[Path, ...],
    output: str,
) -> int:
    """Run the cells of a bundle again, and tell cell by cell how far they agree with it.

    FILE.zip is of 'harness bundle'; the data have to be here. A cell agrees where its status and
    all its measures are equal, or closer than a test example counts. Versions that differ from the
    bundle's are told, and what a cell that has changed means now. What was stopped goes on.

    \b
    Examples:
      harness reproduce quickstart.zip
      harness reproduce supplement.zip --only 5 --set problems.0.args.path=/data/leaves

    \b
    Exit status: 0 all agree, 1 some cell does not, 2 wrong usage, 130 interrupted.
    """
    from harness.record.store import Store
    from harness.report.status_text import lines
    from harness.run import stopping
    from harness.run.events import Events
    from harness.run.place import place_for
    from harness.run.progress import ProgressTracker
    from harness.run.suite import run_suite
    from harness.share.reproduce import claim, opened

    registry = load_plugins(plugin, plugins_dir)
    runner = registry.get("executor", executor).cls()
    runner.start()
    rerun = opened(bundle, only, overrides, registry, say)
    suite = rerun.planned.suite
    directory = (to or Path("reproduced", suite.name)).resolve()
    claim(bundle, directory)
    given = sources(plugin, plugins_dir)
    place = place_for(suite, directory, runner, given, (), device=device, jobs=jobs)
    registry.manager.register(
        ProgressTracker(sys.stderr, lines, len(place.workers)), name="progress"
    )
    events = Events(registry.manager, say)
    try:
        with stopping.at_signals(lambda: say("stopping: the same command goes on")):
            run_suite(
                rerun.planned,
                rerun.cells,
                runner,
                place,
                events,
                needed=lambda: rerun.keys,
                warn=say,
            )
    finally:
        registry.manager.unregister(name="progress")
    if stopping.asked():
        raise KeyboardInterrupt
    found = rerun.agreements(Store(directory))
    _show(found, output)
    say(", ".join(f"{n} {verdict}" for verdict, n in Counter(a.verdict for a in found).items()))
    return int(not all(each.agrees for each in found))


def _show(found: list[Agreement], output: str) -> None:
    if output == "json":
        from harness.report.analysis.details import finite

        rows = [dataclasses.asdict(each) for each in found]
        click.echo(json.dumps(finite(rows), indent=1, ensure_ascii=False))
        return
    for each in found:
        by = f"{each.difference:.2g} in {each.measure}" if each.difference else each.measure
        told = ": ".join(filter(None, [each.title, each.why]))
        click.echo(f"{each.verdict:8} {by:28} {told}".rstrip())
