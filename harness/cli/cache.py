"""``harness cache``: what is kept so that it need not be made again."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.options import format_option, results_option

if TYPE_CHECKING:
    from harness.record.caches import Entry

DAY = 86400.0

Found = dict[Path, list["Entry"]]


@click.group("cache")
def command() -> None:
    """Show or remove what is kept so that it need not be made again.

    Beside results, in DIR/.cache: weights that were pretrained, those that strategies prepared,
    features of frozen blocks, and vocabularies. In ~/.cache/transfer-harness, or the folder that
    HARNESS_CACHE names: unpacked archives, converted weights, and what is known of images.

    \b
    Examples:
      harness cache list
      harness cache prune
    """


@command.command("list")
@results_option
@format_option
def list_(results: Path, output: str) -> int:
    """Show what is kept, how much it takes, and when it was last written or used.

    \b
    Examples:
      harness cache list
      harness cache list --format json
    """
    found = _found(results)
    if output == "json":
        click.echo(json.dumps([*_rows(found)], indent=1))
    else:
        click.echo("\n".join(_lines(found)))
    return 0


@command.command("prune")
@results_option
@click.option(
    "--older-than",
    "days",
    type=click.FloatRange(min=0),
    default=0.0,
    metavar="DAYS",
    help="Only what was not written, or of features used, for so long.",
)
@click.option("--yes", is_flag=True, help="Do not ask first.")
def prune(results: Path, days: float, yes: bool) -> int:
    """Remove what is kept: it is made again when it is needed. Not while a suite is running: it
    may be reading from an unpacked archive.

    \b
    Examples:
      harness cache prune --older-than 30
      harness cache prune --results results/old --yes

    \b
    Exit status: 0, or 1 if something is in use and was left.
    """
    from harness.errors import HarnessError
    from harness.record.caches import remove

    latest = time.time() - days * DAY
    found = {
        cache: [entry for entry in entries if entry.used <= latest]
        for cache, entries in _found(results).items()
    }
    click.echo("\n".join(_lines(found)))
    chosen = [entry for entries in found.values() for entry in entries]
    if not chosen:
        return 0
    try:
        if not yes and not click.confirm("Remove all of this?", err=True):
            return 0
    except click.Abort:
        raise HarnessError("nothing was removed", "Add --yes where nobody can answer") from None
    left = [entry for entry in chosen if not remove(entry)]
    for entry in left:
        click.echo(f"harness: {entry.paths[0]} is in use, and was left", err=True)
    return int(bool(left))


def _found(results: Path) -> Found:
    from harness.record.caches import caches, entries

    return {cache: [*entries(cache)] for cache in caches(results)}


def _kinds(found: Found) -> Iterator[tuple[Path, str, Sequence[Entry]]]:
    for cache, entries in found.items():
        for kind, mine in groupby(entries, key=lambda entry: entry.kind):
            yield cache, kind, [*mine]


def _rows(found: Found) -> Iterator[dict[str, object]]:
    now = time.time()
    for cache, kind, mine in _kinds(found):
        yield {
            "cache": str(cache),
            "kind": kind,
            "entries": len(mine),
            "bytes": sum(entry.bytes for entry in mine),
            "oldest_days": (now - min(entry.used for entry in mine)) / DAY,
            "newest_days": (now - max(entry.used for entry in mine)) / DAY,
        }


def _lines(found: Found) -> Iterator[str]:
    from harness.report.format import plural, size

    now, shown = time.time(), None
    for cache, kind, mine in _kinds(found):
        if cache != shown:
            yield f"{cache}:"
            shown = cache
        oldest, newest = (now - pick(entry.used for entry in mine) for pick in (min, max))
        taken = size(sum(entry.bytes for entry in mine))
        count = plural(len(mine), "entry", "entries")
        yield f"  {kind:10} {count:>12} {taken:>9}   used {_ago(newest)} to {_ago(oldest)} ago"
    total = sum(entry.bytes for entries in found.values() for entry in entries)
    yield f"{size(total)} in all" if total else "nothing is kept"


def _ago(seconds: float) -> str:
    from harness.report.format import duration

    return f"{seconds / DAY:.0f} d" if seconds >= DAY else duration(max(0.0, seconds))
