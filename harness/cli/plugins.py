"""``harness plugins``: list all plugins and where they come from."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, TypeAlias

import click

from harness.cli.options import format_option, load_plugins, plugin_options

Row: TypeAlias = Mapping[str, Any]

PROTOCOLS = ("transfer", "episodes", "adaptation")
HOOKS = {"harness_report_sections": "report section", "harness_datasets_for": "file format"}
"""What is listed of a module that brings no class, by its hook."""

USUAL = "episodes transfer"
"""What goes without saying in the table, as most strategies work under both."""


@click.command("plugins")
@click.option("--kind", metavar="KIND", help="Only plugins of this kind, such as trick.")
@click.option("--protocol", type=click.Choice(PROTOCOLS), help="Only what works under it.")
@click.option("--modality", metavar="NAME", help="Only what takes image, or text.")
@click.option("--search", metavar="TEXT", help="Only where name, summary or citation has it.")
@plugin_options
@format_option
def command(
    kind: str | None,
    protocol: str | None,
    modality: str | None,
    search: str | None,
    plugin: tuple[Path, ...],
    plugins_dir: tuple[Path, ...],
    output: str,
) -> int:
    """List all plugins, by kind and family: 'harness describe NAME' tells all of one.

    Exit status: 0, or 1 if a plugin could not be loaded.

    \b
    Examples:
      harness plugins
      harness plugins --kind strategy --protocol episodes
      harness plugins --search "batch norm"
      harness plugins --plugin my_strategy.py --format json
    """
    registry = load_plugins(plugin, plugins_dir)
    rows = [*_rows(registry)]
    kept = [*_filtered(rows, kind, protocol, modality, search)]
    if output == "json":
        click.echo(json.dumps(kept, indent=1))
    else:
        click.echo("\n".join(_table(kept)))
    return int(bool(registry.problems))


def _rows(registry: Any) -> Iterator[Row]:
    """What is told of each plugin, kind by kind, and family by family in the order of names."""
    from harness.registry import KINDS

    for kind in KINDS:
        of_kind = [found for found in registry.plugins.values() if found.kind == kind]
        for found in sorted(of_kind, key=lambda found: (found.cls.family, found.name)):
            yield {
                "kind": found.kind,
                "family": found.cls.family,
                "name": found.name,
                "origin": found.origin,
                "modality": _words(found.cls, "modalities", "modality"),
                "protocols": _words(found.cls, "protocols"),
                "summary": found.summary,
                "citation": found.cls.citation,
                "licence": found.cls.licence,
                "file": str(found.file),
                "missing": sorted({*found.missing.values()}),
            }
    for listener in registry.listeners:
        for hook in listener.hooks:
            yield {
                "kind": HOOKS.get(hook, "listener"),
                "family": "",
                "name": listener.name,
                "origin": listener.origin,
                "modality": "",
                "protocols": "",
                "summary": listener.summary.replace("``", ""),
                "citation": "",
                "licence": "",
                "file": str(listener.file),
                "missing": [],
            }


def _filtered(
    rows: Sequence[Row],
    kind: str | None,
    protocol: str | None,
    modality: str | None,
    search: str | None,
) -> Iterable[Row]:
    """The rows that are asked for.

    Raises:
        HarnessError: there is no such kind or modality, or nothing is left.
    """
    from harness.errors import HarnessError, did_you_mean

    asked = {"kind": kind, "modality": modality}
    for name, value in asked.items():
        known = {word for row in rows for word in _each(row, name)}
        if value is not None and value not in known:
            raise HarnessError(
                f"--{name} {value}: there is none of that {name}{did_you_mean(value, known)}",
                "'harness plugins' lists them all",
            )
    words = (search or "").lower()
    tests: list[Callable[[Row], bool]] = [
        lambda row: kind in (None, row["kind"]),
        lambda row: protocol is None or protocol in row["protocols"].split(),
        lambda row: modality is None or modality in row["modality"].split(),
        lambda row: any(words in row[key].lower() for key in ("name", "summary", "citation")),
    ]
    kept = [row for row in rows if all(test(row) for test in tests)]
    if rows and not kept:
        raise HarnessError("no plugin is all of that", "Ask for less, or 'harness plugins'")
    return kept


def _each(row: Row, name: str) -> list[str]:
    """The kinds of a row, of two words perhaps, or its modalities."""
    return [row[name]] if name == "kind" else row[name].split()


def _table(rows: Sequence[Row]) -> Iterator[str]:
    """A heading for each kind and family, and a line a plugin that is as wide as the terminal."""
    import shutil

    width = shutil.get_terminal_size((100, 24)).columns
    for (kind, family), found in groupby(rows, key=lambda row: (row["kind"], row["family"])):
        mine = [*found]
        longest = max(len(row["name"]) for row in mine)
        yield f"{kind}{f', {family}' if family else ''}:"
        for row in mine:
            limits = [row["modality"]] if len(row["modality"].split()) == 1 else []
            limits += [row["protocols"]] if row["protocols"] not in ("", USUAL) else []
            origin = [] if row["origin"] == "built-in" else [row["origin"]]
            brackets = f"[{', '.join([*limits, *origin])}] " if limits or origin else ""
            line = f"  {row['name']:{longest}}  {brackets}{row['summary']}"
            yield line if len(line) <= width else f"{line[: width - 1].rstrip()}…"
        yield ""
    for row in rows:
        if row["missing"]:
            needed = " ".join(repr(package) for package in row["missing"])
            yield f"{row['kind']} {row['name']} is not installed: pip install {needed}"


def _words(cls: type, *names: str) -> str:
    for name in names:
        value = getattr(cls, name, None)
        if value:
            return value if isinstance(value, str) else " ".join(sorted(value))
    return ""
