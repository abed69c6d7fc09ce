"""Options that several commands share."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from harness.record.store import Store
    from harness.registry import Registry, Sources

F = TypeVar("F", bound=Callable[..., Any])


SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def duration(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """Seconds, from a number with a unit: a callback of options."""
    if value is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd])", value.strip())
    if found is None or not float(found[1]):
        raise click.BadParameter(f"'{value}' is no time: give a number with s, m, h or d, as 90m")
    return float(found[1]) * SECONDS[found[2]]


def plugin_options(function: F) -> F:
    """``--plugin`` and ``--plugins-dir``; the command gets ``plugin`` and ``plugins_dir``."""
    folder = click.option(
        "--plugins-dir",
        multiple=True,
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="Load every plugin file of a folder (code that you trust). May be repeated.",
    )
    file = click.option(
        "--plugin",
        multiple=True,
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Load a plugin file (code that you trust). May be repeated.",
    )
    return file(folder(function))


def results_option(function: F) -> F:
    """``--results``: where all suites' folders are."""
    return click.option(
        "--results",
        type=click.Path(path_type=Path),
        default=Path("results"),
        show_default=True,
        metavar="DIR",
        help="Where results go: records land in DIR/NAME, the report in DIR/NAME/report.",
    )(function)


def model_options(function: F) -> F:
    """What chooses a model of a results folder, and where it computes: ``cell``, ``label``,
    ``problem``, ``shots``, ``backbone`` and ``device``."""
    options = (
        click.option("--cell", metavar="KEY", help="The model of one cell, by its key."),
        click.option("--label", help="The strategy, by its label: else what is recommended."),
        click.option("--problem", help="The problem, where there are several."),
        click.option("--shots", help="The number of examples a class, where there are several."),
        click.option("--backbone", help="The backbone, where there are several."),
        click.option(
            "--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N."
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


def coverage_option(function: F) -> F:
    """``--coverage``: of the sets of classes that can't be ruled out."""
    return click.option(
        "--coverage",
        type=click.FloatRange(0.5, 1, min_open=True, max_open=True),
        default=0.9,
        show_default=True,
        help="How often the true class is to be in an input's set of classes.",
    )(function)


def support_option(function: F) -> F:
    """``--support``: a task of the user's own, for models that adapt to each task."""
    return click.option(
        "--support",
        type=click.Path(path_type=Path),
        metavar="FOLDER",
        help="Under episodes: labelled examples of your task, a folder a class.",
    )(function)


def format_option(function: F) -> F:
    """``--format table|json``."""
    return click.option(
        "--format",
        "output",
        type=click.Choice(["table", "json"]),
        default="table",
        show_default=True,
        help="How to print on standard output.",
    )(function)


def load_plugins(
    plugin: tuple[Path, ...], plugins_dir: tuple[Path, ...], *, for_report: bool = False
) -> Registry:
    """Load all plugins; say whose code was run, and in one line each what could not be loaded.

    Of the built-ins a report needs only those that make sections of it: the others would have it
    import PyTorch.
    """
    from harness.registry import BUILT_IN, load, load_once

    given = sources(plugin, plugins_dir)
    registry = load(given, f"{BUILT_IN}.sections") if for_report else load_once(given)
    # Of all plugins only files are known by a path. One that could not be loaded has its own line.
    files = [name for name, _ in registry.manager.list_name_plugin() if Path(name).is_absolute()]
    if files:
        click.echo(f"harness: running code of {', '.join(files)}", err=True)
    for problem in registry.problems:
        click.echo(f"harness: {problem}", err=True)
    return registry


def tell_left_out(store: Store, plugin: tuple[Path, ...], plugins_dir: tuple[Path, ...]) -> None:
    """Say which plugin files a folder's suite was run with that this command was not given: whose
    code runs is for who calls it to say.

    Raises:
        HarnessError: the folder's plan can't be read.
    """
    command = store.plan().command
    if command is None:
        return
    given = {path.resolve() for path in (*plugin, *plugins_dir)}
    for option, paths in (("--plugin", command.plugins), ("--plugins-dir", command.plugins_dirs)):
        for path in paths:
            if Path(path).resolve() not in given:
                told = f"{store.directory} was run with {option} {path}, which is not given here"
                click.echo(f"harness: {told}", err=True)


def sources(plugin: tuple[Path, ...], plugins_dir: tuple[Path, ...]) -> Sources:
    from harness.registry import Sources

    return Sources(
        tuple(path.resolve() for path in plugin), tuple(path.resolve() for path in plugins_dir)
    )
