"""``harness data``: look at data before anything is learned from them."""

from __future__ import annotations

import json
from pathlib import Path

import click

from harness.cli.options import format_option, load_plugins, plugin_options
from harness.errors import HarnessError


@click.command("data")
@click.argument("path", metavar="PATH", type=click.Path(path_type=Path))
@click.option("--groups", metavar="COLUMN", help="Tell groups by this column of a CSV file.")
@click.option(
    "--pattern", metavar="REGEX", help="Tell groups by its one group, found in names of files."
)
@click.option(
    "--page",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write a page with thumbnails of what is suspect, over what was there.",
)
@plugin_options
@format_option
def command(
    path: Path,
    groups: str | None,
    pattern: str | None,
    page: Path | None,
    plugin: tuple[Path, ...],
    plugins_dir: tuple[Path, ...],
    output: str,
) -> int:
    """Look at data: classes, sizes, and what is there twice, identical or nearly.

    PATH is a folder with a folder of images a class, an archive of one, a CSV file of texts or of
    paths of images, or an npz file. Nearly the same are images that were recompressed, resized, or
    cropped to no less than four fifths of the area. What cannot be decoded is told. What is in both
    splits, or has different labels, is told apart.

    \b
    Examples:
      harness data data/leaves --page leaves.html
      harness data data/cows --pattern '^(cow[0-9]+)_'
      harness data scans.csv --groups patient --format json
    """
    from harness.plan.datasets import Datasets
    from harness.start.examine import examine
    from harness.start.looking import find
    from harness.suite.groups import one_group

    if groups is not None and pattern is not None:
        raise HarnessError("groups are told by --groups or by --pattern", "Leave one out")
    if pattern is not None:
        try:
            one_group(pattern)
        except ValueError as error:
            raise HarnessError(f"--pattern {error}", "For example '^([^_]+)_'") from None
    registry = load_plugins(plugin, plugins_dir)
    found = find(path, registry, Datasets(registry), {"unreadable": "leave_out"})
    examination = examine(found, groups, pattern)
    if page is not None:
        from harness.record.files import write_atomically
        from harness.start.page import render

        write_atomically(page, render(examination, str(path)).encode())
    if output == "json":
        click.echo(json.dumps(examination.to_json(), indent=1, ensure_ascii=False))
    else:
        click.echo("\n".join(examination.told()))
    return 0
