"""The command line: one file a command, imported when it is called."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

import click

from harness.errors import HarnessError, did_you_mean
from harness.version import __version__

GROUPS = {
    "Compare strategies": {
        "data": "Look at data: classes, sizes, duplicates, groups, label errors.",
        "init": "Look at data, and write a suite for them.",
        "validate": "Check a suite without running it.",
        "suite": "Run a suite, or go on with it, and write its report.",
        "status": "Show how far a suite is, whoever runs it.",
    },
    "Look at results": {
        "report": "Write the report of a results folder again.",
        "compare": "Compare two strategies of a results folder, or two folders.",
        "why": "Explain why a cell has to run, or that it has not.",
        "score": "Put predictions made elsewhere beside a suite's results.",
    },
    "Use the recommended model": {
        "predict": "Classify new images or texts with the model that is recommended.",
        "ship": "Make a folder of it that runs elsewhere, with a certificate.",
    },
    "Write plugins": {
        "new": "Write a plugin that runs as it is, to be changed.",
        "check": "Check a plugin by the rules of its kind.",
        "plugins": "List all plugins and where they come from.",
        "describe": "Show what a plugin is, and what it can be given.",
    },
    "Share": {
        "export": "Print a results folder as a table: csv, parquet or json.",
        "splits": "Write a suite's splits as files, to publish and to run with.",
        "merge": "Join results folders of several machines into a new one.",
        "bundle": "Pack a results folder into one file.",
        "reproduce": "Run a bundle again, and tell how far it agrees.",
    },
    "Housekeeping": {
        "doctor": "Look at this machine, and tell what is lacking.",
        "cache": "Show or remove what is kept for further runs.",
        "completion": "Print what completes commands and options in a shell.",
    },
}
"""What there is, by what it is for."""

COMMANDS = {name: summary for group in GROUPS.values() for name, summary in group.items()}


class _Commands(click.Group):
    """Knows every command's name and summary without importing any of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"harness.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        longest = max(map(len, COMMANDS))
        for title, group in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl([(f"{name:{longest}}", text) for name, text in group.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            told = f"there is no command '{args[0]}'{did_you_mean(args[0], COMMANDS)}."
            ctx.fail(f"{told} 'harness --help' lists all")
        return super().resolve_command(ctx, args)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="harness")
def cli() -> None:
    """Compare transfer-learning strategies on your data, within your budget.

    \b
    Examples:
      harness suite quickstart               five strategies on real data, and a report
      harness init data/leaves               a suite for data of yours
      harness plugins                        the strategies and datasets there are
    """


def _told(error: OSError) -> str:
    """What the operating system complains of, about which file, and what helps."""
    from harness.record.files import reason, remedy

    where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
    helps = f". {remedy(error)}" if remedy(error) else ""
    return f"{where}{reason(error)}{helps} (HARNESS_RAISE=1 shows where)"


def _give_up_unwritable_output() -> None:
    """Python would try once more at its end, and complain in words of its own."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main() -> None:
    """Entry point: a mistake of the user's is one line and exit status 2, never a traceback."""
    try:
        status: Any = cli.main(standalone_mode=False)
    except (HarnessError, OSError) as error:
        if os.environ.get("HARNESS_RAISE"):
            raise
        told = str(error) if isinstance(error, HarnessError) else _told(error)
        click.echo(f"harness: {told}", err=True)
        _give_up_unwritable_output()
        sys.exit(2)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (KeyboardInterrupt, click.Abort):
        click.echo(
            "\nharness: interrupted. Run the same command again to go on: finished cells are kept",
            err=True,
        )
        sys.exit(130)
    sys.exit(status if isinstance(status, int) else 0)
