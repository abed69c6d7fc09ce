"""``harness doctor``: look at this machine, and tell what is lacking."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.options import format_option, plugin_options, results_option, sources

if TYPE_CHECKING:
    from harness.start.doctor import Finding


@click.command("doctor")
@results_option
@plugin_options
@format_option
def command(
    results: Path, plugin: tuple[Path, ...], plugins_dir: tuple[Path, ...], output: str
) -> int:
    """Look at this machine: versions, extras, devices, memory, disk, folders, locks and caches.

    What is lacking comes with the command or the step that helps. Locks are tried by two processes:
    they are what lets several runners share a folder.

    \b
    Examples:
      harness doctor
      harness doctor --results /mnt/shared/results --format json

    \b
    Exit status: 0, or 1 if something is wrong; what only some plugins need may be missing.
    """
    from dataclasses import asdict

    from harness.registry import load_once
    from harness.start.doctor import look

    found = [*look(load_once(sources(plugin, plugins_dir)), results)]
    if output == "json":
        click.echo(json.dumps([asdict(finding) for finding in found], indent=1))
    else:
        click.echo("\n".join(_lines(found)))
    return int(any(finding.state == "wrong" for finding in found))


def _lines(found: Sequence[Finding]) -> Iterator[str]:
    """A line a finding, under a heading for each topic, with what helps below it."""
    for topic, group in groupby(found, key=lambda finding: finding.topic):
        mine = [*group]
        longest = max(len(finding.name) for finding in mine)
        yield f"{topic}:"
        for finding in mine:
            state = finding.state.upper() if finding.state == "wrong" else finding.state
            yield f"  {state:8}{finding.name:{longest}}  {finding.seen}"
            if finding.remedy:
                yield f"  {'':8}{'':{longest}}  → {finding.remedy}"
    count = sum(finding.state == "wrong" for finding in found)
    yield f"{count or 'nothing'} wrong"
