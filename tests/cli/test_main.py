"""The command's frame: what is imported when, where `--home` stands, what a typo gets."""

import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from greenroom import embedded
from greenroom.cli import COMMANDS, main
from greenroom.store.workspace import Workspace

HEAVY = ("numpy", "scipy", "onnxruntime", "cryptography", "msgspec", "starlette")


@pytest.mark.parametrize("name", COMMANDS)
def test_a_commands_summary_is_what_its_own_help_begins_with(name: str) -> None:
    command = main.get_command(click.Context(main), name)
    assert command is not None and command.name == name
    assert (command.help or "").splitlines()[0] == COMMANDS[name].summary


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_what_needs_no_workspace_imports_nothing_heavy(option: str) -> None:
    code = (
        "import sys\nfrom greenroom.cli import main\n"
        f"try:\n    main([{option!r}])\nexcept SystemExit:\n    pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]" and done.stdout


def test_home_stands_before_or_after_the_command(tmp_path: Path) -> None:
    embedded.install(Workspace(tmp_path))
    runner = CliRunner()
    before = runner.invoke(main, ["--home", str(tmp_path), "fsck", "--json"])
    for args in (
        ["fsck", "--json", "--home", str(tmp_path)],
        ["fsck", f"--home={tmp_path}", "--json"],
    ):
        assert runner.invoke(main, args).stdout == before.stdout
    assert '"objects": 24' in before.stdout


def test_alone_it_says_what_there_is_and_what_comes_next(tmp_path: Path) -> None:
    runner = CliRunner()
    empty = runner.invoke(main, ["--home", str(tmp_path / "none")])
    assert empty.exit_code == 0 and "is empty\nnext: greenroom demo" in empty.stdout
    assert not (tmp_path / "none").exists()
    embedded.install(Workspace(tmp_path))
    text = runner.invoke(main, ["--home", str(tmp_path)]).stdout
    assert "1 release, 0 shows" in text and "mira: release" in text
    assert "next: greenroom ingest PATH" in text


def test_a_typo_is_told_with_what_was_meant(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["--home", str(tmp_path), "ingset"])
    assert done.exit_code == 2 and "did you mean 'ingest'?" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script_that_asks_the_command(shell: str) -> None:
    done = CliRunner().invoke(main, ["completion", shell])
    assert done.exit_code == 0 and "_GREENROOM_COMPLETE" in done.stdout


def test_completion_offers_commands_without_importing_them() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "greenroom"],
        env={
            "PATH": "/usr/bin",
            "PYTHONPATH": ":".join(sys.path),
            "_GREENROOM_COMPLETE": "bash_complete",
            "COMP_WORDS": "greenroom per",
            "COMP_CWORD": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["plain,perform"], done.stderr
