"""A directive that writes the reference of the command line from click: ``{commands}``."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from harness.cli import GROUPS, cli


def told() -> Iterator[str]:
    """All commands in Markdown, grouped as in ``harness --help``."""
    parent = click.Context(cli, info_name="harness", **cli.context_settings)
    for title, names in GROUPS.items():
        yield f"## {title}\n"
        for name in names:
            command = cli.get_command(parent, name)
            assert command is not None
            yield from _command(command, click.Context(command, parent, name))


def _command(command: click.Command, context: click.Context) -> Iterator[str]:
    yield f"### {context.command_path}\n"
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    yield f"```text\n{usage}\n```\n"
    for block in inspect.cleandoc(command.help or "").split("\n\n"):
        yield _block(block.removeprefix("\b\n"))
    options = [param for param in command.params if isinstance(param, click.Option)]
    for option, text in filter(None, (option.get_help_record(context) for option in options)):
        yield f"`{option}`\n: {_escaped(text)}\n"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from _command(inner, click.Context(inner, context, name))


def _block(text: str) -> str:
    """A paragraph, or examples as code."""
    if text.startswith("Examples:"):
        lines = [line.strip() for line in text.splitlines()[1:]]
        return "\n".join(["```text", *lines, "```", ""])
    return f"{_escaped(text)}\n"


def _escaped(text: str) -> str:
    return text.replace("*", r"\*").replace("_", r"\_").replace("<", r"\<").replace("[", r"\[")


class Commands(SphinxDirective):
    """All commands, with what their ``--help`` says."""

    def run(self) -> list[nodes.Node]:
        return self.parse_text_to_nodes("\n".join(told()), allow_section_headings=True)


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("commands", Commands)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
