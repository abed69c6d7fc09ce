"""``harness why``: explain why a cell has to run, or that it has not."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.options import load_plugins, plugin_options


@click.command("why")
@click.argument("cell", metavar="CELL")
@click.option(
    "--results",
    type=click.Path(path_type=Path),
    default=Path("results"),
    show_default=True,
    metavar="DIR",
    help="Where 'harness suite' wrote.",
)
@plugin_options
def command(
    cell: str, results: Path, plugin: tuple[Path, ...], plugins_dir: tuple[Path, ...]
) -> int:
    """Explain why a cell has to run, or that it has not.

    CELL is a key, or the first digits of one, as --dry-run prints it. The suite is read as it
    was last run, and its cell is compared with the nearest record there is.

    \b
    Examples:
      harness why 3fa9c1
    """
    from harness.errors import HarnessError
    from harness.plan.cells import plan
    from harness.plan.keys import differences
    from harness.plan.suite import parse
    from harness.record.store import Store

    registry = load_plugins(plugin, plugins_dir)
    for file in sorted(results.glob("*/plan.json")):
        store = Store(file.parent)
        planned = plan(parse(store.plan().config, where=str(file)), registry, where=str(file))
        records = store.records()
        for now in planned.cells:
            before = [record for record in records if record.title == now.title]
            if not any(key.startswith(cell) for key in (now.cell, *(r.cell for r in before))):
                continue
            current = store.record(now.cell)
            click.echo(f"{now.cell}  {now.title}")
            if current is not None:
                click.echo(f"is done ({current.status}): nothing that it depends on has changed")
                return 0
            if not before:
                click.echo("has to run: there is no record of such a cell yet")
                return 0
            changes = min((list(differences(r.meaning, now.meaning)) for r in before), key=len)
            click.echo("has to run again, because since the nearest record")
            click.echo("\n".join(f"  {line}" for line in changes))
            return 0
    raise HarnessError(
        f"no suite under {results} has a cell '{cell}'",
        "'harness suite NAME --dry-run' prints the cells' keys",
    )
