"""``harness completion``: what completes commands and options in a shell."""

from __future__ import annotations

import click


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> int:
    """Print what completes commands and options in a shell, for the file that it reads first.

    \b
    Examples:
      harness completion bash >> ~/.bashrc
      harness completion zsh >> ~/.zshrc
      harness completion fish > ~/.config/fish/completions/harness.fish
    """
    from click.shell_completion import get_completion_class

    from harness.cli import cli

    completion = get_completion_class(shell)
    assert completion is not None
    click.echo(completion(cli, {}, "harness", "_HARNESS_COMPLETE").source())
    return 0
