"""The rules of the house: who imports whom, and that the documents tell the truth about the commands."""

import ast
import re
import shlex
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import click
import pytest
from importlinter.cli import lint_imports

from greenroom.cli import main

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
COMMAND = re.compile(r"(?:`|^\$? ?)(?:\.venv/bin/)?greenroom ([^`\n#]+)", re.M)
LINK = re.compile(r"\]\(([^)#:]+)\)")


def test_imports_only_go_up_the_house(monkeypatch: pytest.MonkeyPatch) -> None:
    # It would switch every other logger of this process off, and tests that read the log fail.
    monkeypatch.setattr("importlinter.cli.logging_config.dictConfig", lambda config: None)
    assert lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True) == 0


def imports_between_modules() -> dict[str, set[str]]:
    """Module → the modules of ours that it imports, also inside functions; not for types alone."""
    source = ROOT / "src"
    files = {}
    for path in (source / "greenroom").rglob("*.py"):
        parts = path.relative_to(source).with_suffix("").parts
        files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    graph: dict[str, set[str]] = {}
    for module, path in files.items():
        tree = ast.parse(path.read_text())
        typing = [
            n
            for n in ast.walk(tree)
            if isinstance(n, ast.If) and "TYPE_CHECKING" in ast.unparse(n.test)
        ]
        for_types = {id(node) for block in typing for node in ast.walk(block)}
        names: set[str] = set()
        for node in ast.walk(tree):
            if id(node) in for_types or not isinstance(node, ast.Import | ast.ImportFrom):
                continue
            for alias in node.names:
                whole = alias.name
                if isinstance(node, ast.ImportFrom):
                    whole = f"{node.module}.{alias.name}"
                    whole = whole if whole in files else str(node.module)
                names |= {whole} & files.keys()
        graph[module] = names - {module}
    return graph


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = imports_between_modules()
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join([*path[path.index(module) :], module])
        if module not in done:
            for other in sorted(graph[module]):
                visit(other, (*path, module))
            done.add(module)

    for module in graph:
        visit(module, ())


def test_what_an_extra_brings_is_named_to_the_type_checker() -> None:
    """Types are checked in the base install: an unnamed module of an extra would fail there."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    overrides = project["tool"]["mypy"]["overrides"]
    named = {name.split(".")[0] for table in overrides for name in table["module"]}
    entries = project["project"]["dependencies"]
    base = {re.split(r"[><=]", entry)[0].replace("-", "_").lower() for entry in entries}
    known = {
        module
        for module, owners in packages_distributions().items()
        if base & {owner.replace("-", "_").lower() for owner in owners}
    }
    unnamed = {}
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names = [node.module]
            for name in {name.split(".")[0] for name in names}:
                if name not in sys.stdlib_module_names | known | named | {"greenroom"}:
                    unnamed[name] = str(path)
    assert not unnamed


def commands() -> list[tuple[str, str]]:
    """(document, what follows `greenroom`) of every command, brackets and alternatives off."""
    out = []
    for path in DOCUMENTS:
        for line in COMMAND.findall(path.read_text()):
            out.append((path.name, re.sub(r"\\\||[\[\]…]", " ", line).strip()))
    return out


@pytest.mark.parametrize(("document", "line"), commands())
def test_a_documented_command_exists_with_its_options(document: str, line: str) -> None:
    words = shlex.split(line)
    command: click.Command = main
    context = click.Context(main)
    while words:
        if isinstance(command, click.Group) and not words[0].startswith("-"):
            found = command.get_command(context, words.pop(0))
            assert found is not None, f"{document}: {line}"
            command = found
            continue
        word = words.pop(0)
        if word.startswith("--"):
            known = {name for p in command.params for name in (*p.opts, *p.secondary_opts)}
            assert word in known or word == "--help", f"{document}: {line}: {word}"
            option = next((p for p in command.params if word in p.opts), None)
            if option is not None and not getattr(option, "is_flag", True) and words:
                words.pop(0)


def test_documents_name_at_least_the_whole_command_line() -> None:
    said = {line.split()[0] for _, line in commands()}
    assert {"demo", "ingest", "train", "approve", "promote", "perform", "replay", "fsck"} <= said


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_and_make_targets_lead_somewhere(path: Path) -> None:
    text = path.read_text()
    for link in LINK.findall(text):
        assert (path.parent / link).exists(), f"{path.name}: {link}"
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M)
    for target in re.findall(r"(?:^|`)make ([a-z-]+)", text, re.M):
        assert target in targets, f"{path.name}: make {target}"
