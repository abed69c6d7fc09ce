"""``harness new``: write a plugin that runs as it is, to be changed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.options import load_plugins

if TYPE_CHECKING:
    from harness.start.plugin import Kind

KINDS = ("strategy", "trick", "dataset", "backbone", "executor")


@click.command("new")
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("name", metavar="NAME")
@click.option(
    "--package", is_flag=True, help="Write a package that pip installs, in a folder of its own."
)
@click.option(
    "--to",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    metavar="DIR",
    help="Where it goes: by default the current folder.",
)
def command(kind: Kind, name: str, package: bool, to: Path) -> int:
    """Write a plugin that runs as it is, for you to change.

    NAME is that of the plugin and of its file. Nothing is written over.

    \b
    Examples:
      harness new strategy only_norms
      harness new dataset my_scans --to plugins
      harness new trick soft_logits --package
    """
    from harness.start.plugin import write

    written = write(kind, name, to, load_plugins((), ()), package=package)
    click.echo("\n".join(map(str, written)))
    page = written[0]
    click.echo(f"next: harness check {page}", err=True)
    if package:
        click.echo(f"      pip install -e {page.parent}", err=True)
    else:
        click.echo(f"      harness describe {name} --plugin {page}", err=True)
    return 0
