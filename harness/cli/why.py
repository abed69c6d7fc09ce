"""``harness why``: explain why a cell has to run, or that it has not."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.options import load_plugins, plugin_options, results_option, tell_left_out
from harness.errors import HarnessError


@click.command("why")
@click.argument("cell", metavar="CELL")
@results_option
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
    from harness.plan.why import Candidate, candidates
    from harness.record.store import Store

    registry = load_plugins(plugin, plugins_dir)
    found: dict[str, Candidate] = {}
    obstacle: HarnessError | None = None
    for file in sorted(results.glob("*/plan.json")):
        try:
            tell_left_out(Store(file.parent), plugin, plugins_dir)
            for candidate in candidates(Store(file.parent), registry, cell):
                if candidate.known_as(cell):
                    found.setdefault(candidate.cell.cell, candidate)
        except HarnessError as error:  # of a suite that may not be the one
            obstacle = error
    if len(found) > 1:
        raise HarnessError(f"the keys of {len(found)} cells begin with '{cell}'", "Give more of it")
    for candidate in found.values():
        click.echo("\n".join(candidate.explained()))
        return 0
    raise obstacle or HarnessError(
        f"no suite under {results} has a cell '{cell}'",
        "'harness suite NAME --dry-run' prints the cells' keys",
    )
