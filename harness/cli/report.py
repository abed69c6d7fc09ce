"""``harness report``: write the report of a results folder again."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.options import load_plugins, plugin_options


@click.command("report")
@click.argument("directory", metavar="DIR/NAME", type=click.Path(path_type=Path))
@plugin_options
def command(directory: Path, plugin: tuple[Path, ...], plugins_dir: tuple[Path, ...]) -> int:
    """Write the report of a results folder again and print where it is.

    \b
    Examples:
      harness report results/quickstart
    """
    from harness.record.store import Store
    from harness.report.format import plural
    from harness.reporting import report

    store = Store(directory)
    if strays := store.strays():
        click.echo(
            f"harness: {directory} holds {plural(len(strays), 'record')} of other plans (another "
            "budget, data or code): they are left out",
            err=True,
        )
    page, _ = report(store, lambda: load_plugins(plugin, plugins_dir, for_report=True))
    click.echo(page)
    return 0
