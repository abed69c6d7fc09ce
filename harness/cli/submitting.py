"""Hand a suite to a queue, whose machines run it later."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

if TYPE_CHECKING:
    from harness.executor import SubmittingExecutor
    from harness.plan.cells import Planned
    from harness.record.store import Store

GIVEN = ParameterSource.COMMANDLINE

OURS = {"executor", "executor_arg", "dry_run", "output", "jobs"}
"""Options of ``harness suite`` that the runners are not given as they are."""


def executor_args(given: Iterable[str]) -> dict[str, Any]:
    """The arguments of an executor, from ``NAME=VALUE`` each.

    Raises:
        HarnessError: one is no such pair.
    """
    from harness.errors import HarnessError
    from harness.suite.read import override

    args: dict[str, Any] = {}
    for each in given:
        if not each.partition("=")[2] or each.startswith("="):
            raise HarnessError(
                f"--executor-arg {each}: not of the form NAME=VALUE",
                "For example --executor-arg runners=8",
            )
        override(args, each)
    return args


def submit(
    executor: SubmittingExecutor, planned: Planned, store: Store, keys: frozenset[str], jobs: int
) -> None:
    """Submit runners of the suite that this command was given.

    Args:
        keys: of the cells that are needed so far.
        jobs: cells at a time of each runner.

    Raises:
        HarnessError: the queue refuses, or the plan can't be written.
    """
    store.write_plan(planned.to_json(keys))
    command = [*_same_command(click.get_current_context()), "--jobs", str(jobs), "--no-wait"]
    threads = jobs * planned.suite.budget.threads
    told = executor.submit(command, store.directory, threads=threads)
    click.echo(
        f"harness: {told}. 'harness status {store.directory}' shows how far it is; the runner that "
        "ends last writes the report",
        err=True,
    )


def _same_command(context: click.Context) -> list[str]:
    """The words of a command that runs the same suite here."""
    words = [sys.executable, "-c", "from harness.cli import main; main()", "suite"]
    for parameter in context.command.params:
        name, value = str(parameter.name), context.params.get(str(parameter.name))
        if isinstance(parameter, click.Argument):
            words.append(str(value))
        elif name not in OURS and context.get_parameter_source(name) is GIVEN:
            option = parameter.opts[0]
            if isinstance(parameter, click.Option) and parameter.is_flag:
                words.append(option)
            else:
                given: Iterable[object] = value if isinstance(value, tuple) else [value]
                for each in given:
                    words += [option, _written(name, each)]
    return words


def _written(name: str, value: object) -> str:
    if name == "purse":
        return f"{value:f}s"
    return str(value.resolve()) if isinstance(value, Path) else str(value)
