"""``harness check``: hold a plugin against the rules of its kind."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.options import format_option, load_plugins, plugin_options
from harness.errors import HarnessError, did_you_mean

if TYPE_CHECKING:
    from harness.registry import Registered, Registry

Row = Mapping[str, Any]


@click.command("check")
@click.argument("what", metavar="FILE|NAME")
@click.option(
    "--args",
    default="{}",
    metavar="TABLE",
    help="What a suite would give it, as in --args '{ root = \"data/leaves\" }'.",
)
@plugin_options
@format_option
def command(
    what: str, args: str, plugin: tuple[Path, ...], plugins_dir: tuple[Path, ...], output: str
) -> int:
    """Check what a plugin file brings, or a plugin by its name, by the rules of its kind.

    It is tried on small real data: whether the same seed gives the same answers, whether it goes on
    where it was cut short, and so on. Tests inherit the same checks from harness.testing.

    \b
    Examples:
      harness check my_strategy.py
      harness check folder --args '{ root = "data/leaves" }'
      harness check mixup --format json

    \b
    Exit status: 0 all rules are kept, 1 some is broken, 2 wrong usage.
    """
    given = _table(args)
    file = Path(what).resolve() if what.endswith(".py") else None
    if file is not None and not file.is_file():
        raise HarnessError(f"there is no file {file}", "'harness new' writes one to begin with")
    registry = load_plugins((*plugin, *([file] if file else [])), plugins_dir)
    rows: list[Row] = []
    for row in _rows(registry, file, given) if file else _named(registry, what, given):
        if output == "table":
            new = not rows or any(row[key] != rows[-1][key] for key in ("kind", "name"))
            click.echo("\n".join(_lines(row, new)))
        rows.append(row)
    broken = sum(not row["held"] for row in rows)
    if output == "json":
        click.echo(json.dumps(rows, indent=1))
    else:
        click.echo(f"{len(rows)} rules, {broken or 'none'} broken")
    return int(bool(broken))


def _table(text: str) -> dict[str, Any]:
    import tomllib

    try:
        table = tomllib.loads(f"args = {text}")["args"]
    except tomllib.TOMLDecodeError as error:
        raise HarnessError(
            f"--args {text}: {error}", "Write a table of TOML: --args '{ name = 3 }'"
        ) from error
    if not isinstance(table, dict):
        raise HarnessError(f"--args {text} is no table", "Write --args '{ name = 3 }'")
    return table


def _rows(registry: Registry, file: Path, args: Mapping[str, Any]) -> Iterator[Row]:
    """Whether a file can be loaded, and what it brings keeps its rules."""
    beginning = f"plugin {file}: "
    problems = [
        problem.removeprefix(beginning)
        for problem in registry.problems
        if problem.startswith(beginning)
    ]
    row = {"kind": "file", "name": file.stem, "file": str(file), "rule": "can be loaded"}
    for problem in problems or [""]:
        yield {
            **row,
            "held": not problem,
            "seen": problem,
            "remedy": f"Mend {file}" if problem else "",
        }
    brought = [plugin for plugin in registry.plugins.values() if plugin.file == file]
    for plugin in brought:
        if plugin.kind == "tracker":  # to be loaded is all that there are rules for
            continue
        yield from _checked(registry, plugin, args)


def _named(registry: Registry, name: str, args: Mapping[str, Any]) -> Iterator[Row]:
    found = [plugin for (_, known), plugin in registry.plugins.items() if known == name]
    if not found:
        known = {known for _, known in registry.plugins}
        raise HarnessError(
            f"there is no plugin '{name}'{did_you_mean(name, known)}",
            "'harness plugins' lists them all; of a file, give its path, NAME.py",
        )
    for plugin in found:
        yield from _checked(registry, plugin, args)


def _checked(registry: Registry, plugin: Registered, args: Mapping[str, Any]) -> Iterator[Row]:
    from dataclasses import asdict

    from harness.testing.rules import outcomes

    told = {"kind": plugin.kind, "name": plugin.name, "file": str(plugin.file)}
    for outcome in outcomes(plugin, args, registry):
        yield {**told, **asdict(outcome)}


def _lines(row: Row, new: bool) -> Iterator[str]:
    """A line a rule, under a heading for each plugin; what is broken with what was seen."""
    if new:
        yield f"{row['kind']} {row['name']} ({row['file']})"
    yield f"  {'ok    ' if row['held'] else 'BROKEN'}  {row['rule']}"
    if row["seen"]:
        yield f"          seen: {row['seen']}"
    if row["remedy"]:
        yield f"          remedy: {row['remedy']}"
