"""``harness validate``: check a suite without running it."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.options import load_plugins, plugin_options


@click.command("validate")
@click.argument("suite", metavar="SUITE")
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change an entry of the suite."
)
@plugin_options
def command(
    suite: str,
    overrides: tuple[str, ...],
    plugin: tuple[Path, ...],
    plugins_dir: tuple[Path, ...],
) -> int:
    """Check a suite without running it: keys, types, plugins, data and combinations.

    All mistakes are shown at once. Exit status: 0 if there are none, else 2. Examples that occur
    on both sides of a split are told, and so is what of the data is not used; these are no
    mistakes: they may be how the data is.

    \b
    Examples:
      harness validate quickstart
      harness validate mine.toml --plugin my_strategy.py
    """
    from harness.plan.cells import plan
    from harness.plan.datasets import Datasets
    from harness.plan.notes import notes_told
    from harness.plan.targets import leaks_told
    from harness.suite.read import find, read

    registry = load_plugins(plugin, plugins_dir)
    path = find(suite)
    datasets = Datasets(registry)
    planned = plan(read(path, overrides, registry), registry, datasets, where=str(path))
    click.echo(f"{path}: {len(planned.cells)} cells, no mistakes")
    for title, sentence in (
        *notes_told(datasets, planned.cells),
        *leaks_told(datasets, planned.cells),
    ):
        click.echo(f"problem '{title}': {sentence}")
    return 0
