"""Write the command reference of the docs from the commands' own help.

python -m greenroom.cli.reference > docs/reference/commands.md
"""

from __future__ import annotations

from collections.abc import Iterator

import click

from greenroom.cli import SECTIONS, main

_HEAD = """# Commands

Generated from `--help` by `python -m greenroom.cli.reference`.

- The workspace is `--home DIR`, before or after the command, else `GREENROOM_HOME`, else `~/.greenroom`.
- `--json` prints one JSON object and nothing else on standard output.
- An error is one line on standard error: what, where, what to do next.
- Exit status: 0 done, 1 a check failed, 2 bad input.
- A hash may be given by six or more of its first digits, or by its name where only one has it.
- `--detach` before any command runs it by itself; `greenroom jobs` shows how far it is.
"""


def commands_page() -> str:
    """Return the page as Markdown: a section per stage, the help of each command in it."""
    root = click.Context(main, info_name="greenroom", **main.context_settings)
    parts = [_HEAD]
    for section, commands in SECTIONS.items():
        parts.append(f"\n## {section}\n")
        for name in commands:
            command = main.get_command(root, name)
            assert command is not None
            parts.extend(_entries(command, root, name))
    return "\n".join(part.rstrip() for part in parts).rstrip() + "\n"


def _entries(command: click.Command, parent: click.Context, name: str) -> Iterator[str]:
    """Yield the heading and help of a command, and of a group's commands."""
    context = click.Context(command, info_name=name, parent=parent)
    context.max_content_width = 96
    context.terminal_width = 96
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            subcommand = command.get_command(context, child)
            assert subcommand is not None
            yield from _entries(subcommand, context, child)
        return
    yield f"\n### `{context.command_path}`\n\n```text\n{command.get_help(context)}\n```"


if __name__ == "__main__":
    print(commands_page(), end="")
