"""``harness describe``: show what a plugin is, and what it can be given."""

from __future__ import annotations

import dataclasses
import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.options import format_option, load_plugins, plugin_options

if TYPE_CHECKING:
    from harness.registry import Registered


@click.command("describe")
@click.argument("name", metavar="PLUGIN")
@plugin_options
@format_option
def command(name: str, plugin: tuple[Path, ...], plugins_dir: tuple[Path, ...], output: str) -> int:
    """Show what a plugin is, what a suite can give it, and what is tuned.

    \b
    Examples:
      harness describe maml
      harness describe folder --format json
    """
    from harness.errors import HarnessError, did_you_mean

    registry = load_plugins(plugin, plugins_dir)
    found = [described for (_, known), described in registry.plugins.items() if known == name]
    if not found:
        known = {known for _, known in registry.plugins}
        raise HarnessError(
            f"there is no plugin '{name}'{did_you_mean(name, known)}",
            "'harness plugins' lists them all",
        )
    if output == "json":
        click.echo(json.dumps([_facts(described) for described in found], indent=1, default=str))
    else:
        click.echo("\n\n".join("\n".join(_lines(described)) for described in found))
    return 0


def _facts(plugin: Registered) -> dict[str, Any]:
    cls = plugin.cls
    facts = {
        "kind": plugin.kind,
        "name": plugin.name,
        "origin": plugin.origin,
        "file": str(plugin.file),
        "about": plugin.about,
        **{key: value for key in ("citation", "licence") if (value := getattr(cls, key, ""))},
        "arguments": {
            name: {"type": _type(field), "default": _default(field)}
            for name, field in plugin.arguments().items()
        },
    }
    for key in ("prepare_space", "space") if plugin.kind in ("strategy", "trick") else ():
        facts[key] = {
            name: {"range": str(distribution), "default": cls.defaults[name]}
            for name, distribution in getattr(cls, key, {}).items()
        }
    if plugin.kind == "strategy" and (cls.frozen_space or cls.frozen_defaults):
        space, defaults = {**cls.space, **cls.frozen_space}, {**cls.defaults, **cls.frozen_defaults}
        facts["frozen_space"] = {
            name: {"range": str(space[name]), "default": defaults[name]}
            for name in {**cls.frozen_space, **cls.frozen_defaults}
        }
    return facts


def _type(field: dataclasses.Field[Any]) -> str:
    return field.type if isinstance(field.type, str) else inspect.formatannotation(field.type)


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default is not dataclasses.MISSING:
        return repr(field.default)
    if field.default_factory is not dataclasses.MISSING:
        return repr(field.default_factory())
    return "required"


def _lines(plugin: Registered) -> Iterator[str]:
    facts = _facts(plugin)
    yield f"{facts['name']} ({facts['kind']}, {facts['origin']}: {facts['file']})"
    yield ""
    yield facts["about"]
    for key in ("citation", "licence"):
        if key in facts:
            yield f"\n{key.capitalize()}: {facts[key]}"
    if facts["arguments"]:
        yield "\nArguments (args = { … } in a suite):"
        for name, told in facts["arguments"].items():
            yield f"  {name}: {told['type']} = {told['default']}"
    of_adapt = "Settings" if plugin.kind == "trick" else "Settings of adapt"
    titles = {
        "prepare_space": "Settings of prepare (tuned unless args fix them)",
        "space": f"{of_adapt} (tuned unless args fix them)",
        "frozen_space": "Of these where batch norm is frozen, as by default with published weights",
    }
    for key, title in titles.items():
        if facts.get(key):
            yield f"\n{title}:"
            for name, told in facts[key].items():
                yield f"  {name}: {told['range']}, default {told['default']}"
