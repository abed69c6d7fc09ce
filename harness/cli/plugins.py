"""``harness plugins``: list all plugins and where they come from."""

from __future__ import annotations

import json
from pathlib import Path

import click

from harness.cli.options import format_option, load_plugins, plugin_options


@click.command("plugins")
@plugin_options
@format_option
def command(plugin: tuple[Path, ...], plugins_dir: tuple[Path, ...], output: str) -> int:
    """List all plugins: what they are, where they come from and what they take.

    Exit status: 0, or 1 if a plugin could not be loaded.

    \b
    Examples:
      harness plugins
      harness plugins --plugin my_strategy.py --format json
    """
    from harness.registry import KINDS

    registry = load_plugins(plugin, plugins_dir)
    rows = [
        {
            "kind": found.kind,
            "name": found.name,
            "origin": found.origin,
            "modality": _words(found.cls, "modality", "modalities"),
            "protocols": _words(found.cls, "protocols"),
            "summary": found.summary,
            "citation": found.cls.citation,
            "licence": found.cls.licence,
            "file": str(found.file),
            "missing": sorted({*found.missing.values()}),
        }
        for kind in KINDS
        for found in registry.plugins.values()
        if found.kind == kind
    ]
    rows += [
        {
            "kind": "report section" if hook == "harness_report_sections" else "listener",
            "name": listener.name,
            "origin": listener.origin,
            "modality": "",
            "protocols": "",
            "summary": listener.summary,
            "citation": "",
            "licence": "",
            "file": str(listener.file),
            "missing": [],
        }
        for listener in registry.listeners
        for hook in listener.hooks
    ]
    if output == "json":
        click.echo(json.dumps(rows, indent=1))
    else:
        from tabulate import tabulate

        shown = (
            "kind",
            "name",
            "origin",
            "modality",
            "protocols",
            "summary",
            "citation",
            "licence",
        )
        click.echo(tabulate([[row[key] for key in shown] for row in rows], headers=list(shown)))
        for row in rows:
            if row["missing"]:
                needed = " ".join(repr(package) for package in row["missing"])
                click.echo(f"{row['kind']} {row['name']} is not installed: pip install {needed}")
    return int(bool(registry.problems))


def _words(cls: type, *names: str) -> str:
    for name in names:
        value = getattr(cls, name, None)
        if value:
            return value if isinstance(value, str) else " ".join(sorted(value))
    return ""
