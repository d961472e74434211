"""The command's frame: what is imported when, where `--home` stands, what a typo gets."""

import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

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
    assert empty.exit_code == 0
    assert f"there is no workspace in {tmp_path / 'none'} yet\n" in empty.stdout
    assert f"\nnext: greenroom --home {tmp_path / 'none'} demo" in empty.stdout
    assert not (tmp_path / "none").exists()
    embedded.install(Workspace(tmp_path))
    text = runner.invoke(main, ["--home", str(tmp_path)]).stdout
    assert "1 release, 0 shows" in text and "mira: release" in text
    assert f"next: greenroom --home {tmp_path} ingest PATH" in text


@pytest.mark.parametrize(
    "command",
    [
        ["take", "list"],
        ["take", "show", "123456"],
        ["show", "list"],
        ["release", "list", "--json"],
        ["replay", "123456", "--verify"],
        ["fsck"],
        ["jobs"],
        ["key", "list"],
        ["key", "revoke", "Ada"],
        ["alerts"],
        ["serve"],
        ["run", "list"],
        ["perform", "mira", "--in", "take:123456"],
        ["--detach", "fsck"],
    ],
)
def test_a_mistyped_home_is_told_and_not_made(tmp_path: Path, command: list[str]) -> None:
    home = tmp_path / "typo"
    done = CliRunner().invoke(main, ["--home", str(home), *command])
    assert done.exit_code == 2 and not home.exists() and not done.stdout
    assert f"there is no workspace in {home}; check --home DIR" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_first_key_begins_a_workspace(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["--home", str(tmp_path / "new"), "key", "new", "Ada"])
    assert done.exit_code == 0 and (tmp_path / "new" / "log").exists()


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


def test_progress_is_drawn_ten_times_a_second_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    from greenroom.cli import context

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal, now = Terminal(), [0.0]
    monkeypatch.setattr(context.sys, "stderr", terminal)
    monkeypatch.setattr(context.time, "monotonic", lambda: now[0])
    monkeypatch.setenv("TERM", "xterm")
    show = context.meter("takes", quiet=False)
    drawn = []
    for done in range(1001):
        now[0] = 1 + done / 1000
        before = len(terminal.getvalue())
        show(done, 1000)
        drawn.append(len(terminal.getvalue()) > before)
    assert 8 <= sum(drawn) <= 12 and drawn[0] and drawn[-1]
    assert "takes" in terminal.getvalue() and "1000/1000" in terminal.getvalue()
    assert context.meter("takes", quiet=True)(1, 2) is None


def test_ingest_counts_what_it_reads(tmp_path: Path, person: object) -> None:
    from greenroom.capture.ingest import ingest
    from greenroom.store.attribution import Attribution

    assert callable(person)
    for number in range(3):
        (tmp_path / f"{number}.bvh").write_bytes(person(seed=number))
    counts: list[int] = []
    workspace = Workspace(tmp_path / "home")
    result = ingest(workspace, [tmp_path], Attribution("a"), "test", progress=counts.append)
    assert counts == [0, 1, 2] and len(result.takes) == 3


def _typed(line: str, command: str) -> list[str]:
    """Return the arguments of the first command of a line that a person would type."""
    return shlex.split(line[line.index(command) :].split("  ")[0])[1:]


@pytest.mark.parametrize("place", ["before", "after"])
def test_the_printed_next_command_works_when_typed(tmp_path: Path, place: str) -> None:
    home, runner = tmp_path / "my home", CliRunner()
    embedded.install(Workspace(home))
    option = ["--home", str(home)]

    def run(*args: str) -> Result:
        return runner.invoke(main, [*option, *args] if place == "before" else [*args, *option])

    hinted = f"greenroom --home '{home}' "
    missing = run("take", "show", "123456").stderr
    assert f"list them: {hinted}take list" in missing
    assert runner.invoke(main, _typed(missing, hinted)).exit_code == 0
    assert f"run: {hinted}ingest PATH" in run("take", "list").stdout
    assert f"next: {hinted}ingest PATH" in run().stdout
    assert run("show", "list").stdout.strip().endswith(hinted.strip())
    assert "--home" not in run("--nothing").stderr


def test_without_home_or_with_json_nothing_is_inserted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedded.install(Workspace(tmp_path))
    monkeypatch.setenv("GREENROOM_HOME", str(tmp_path))
    done = CliRunner().invoke(main, ["take", "show", "123456"])
    assert "list them: greenroom take list" in done.stderr
