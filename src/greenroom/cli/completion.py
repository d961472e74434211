"""Completion of commands, options and names in the shell."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion_command(ctx: click.Context, shell: str) -> None:
    """Print a shell's completion script.

    Such as: greenroom completion bash >> ~/.bashrc
    """
    complete = get_completion_class(shell)
    assert complete is not None
    root = ctx.find_root().command
    click.echo(complete(root, {}, "greenroom", "_GREENROOM_COMPLETE").source())
