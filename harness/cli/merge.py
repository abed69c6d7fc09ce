"""``harness merge``: join results folders of several machines into a new one."""

from __future__ import annotations

from pathlib import Path

import click

from harness.errors import HarnessError


@click.command("merge")
@click.argument(
    "directories", metavar="DIR/NAME…", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@click.option(
    "--to",
    required=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The new results folder.",
)
def command(directories: tuple[Path, ...], to: Path) -> int:
    """Join results folders of one suite, run on several machines, into a new one.

    Each machine runs a part of the suite, as --only says. Records, predictions, logs and models are
    copied; nothing is changed where they come from. What differs in the suite, the budget or the
    data is refused, and so is a cell that came to other results elsewhere. 'harness suite' goes on
    with what was joined, if DIR has the suite's name.

    \b
    Examples:
      harness merge here/quickstart there/quickstart --to results/quickstart

    \b
    Exit status: 0 joined, 2 refused.
    """
    from harness.record.store import Store
    from harness.share.merge import merge

    if len(directories) < 2:
        raise HarnessError("there is nothing to join in one folder", "Name two or more")
    merge(directories, to, lambda line: click.echo(f"harness: {line}", err=True))
    known = Store(to).planned()
    ended = sum(record is not None for _, record in known)
    click.echo(f"harness: {ended} of {len(known)} cells have ended", err=True)
    click.echo(to)
    return 0
