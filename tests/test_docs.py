"""The documents: generated pages are current, sentences and cells short, nouns in the glossary."""

import ast
import json
import re
from pathlib import Path

import pytest
import yaml

from greenroom.cli import COMMANDS
from greenroom.cli.reference import commands_page
from greenroom.manifests import KINDS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PACKAGE = ROOT / "src" / "greenroom"
PAGES = sorted([ROOT / "README.md", *DOCS.rglob("*.md")])
WORDS, CELL = 32, 200
LONG_SENTENCES = json.loads((Path(__file__).parent / "long_sentences.json").read_text())
"""Page → sentences over the budget that it had when the budget came; the numbers may only fall."""
GENERATED = {"docs/reference/manifests.md", "docs/reference/commands.md", "docs/reference/card.md"}


def prose(text: str) -> str:
    """Text without code blocks, headings and links' targets."""
    text = re.sub(r"```.*?```", "", text, flags=re.S)
    text = re.sub(r"^(#|    |\||!\[|\$).*$", "", text, flags=re.M)
    text = re.sub(r"\]\([^)]*\)", "]", text)
    return re.sub(r"`[^`]*`", "CODE", text)


def sentences(text: str) -> list[str]:
    paragraphs = re.split(r"\n\s*\n|^\s*[-*] |^\s*\d+\. ", prose(text), flags=re.M)
    return [
        sentence
        for paragraph in paragraphs
        for sentence in re.split(r"(?<=[.!?:;])\s+(?=[A-Z*\[`0-9])", " ".join(paragraph.split()))
    ]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_sentences_are_short(path: Path) -> None:
    name = path.relative_to(ROOT).as_posix()
    if name in GENERATED:
        return
    long = [sentence for sentence in sentences(path.read_text()) if len(sentence.split()) > WORDS]
    allowed = LONG_SENTENCES.get(name, 0)
    assert len(long) <= allowed, long
    assert len(long) == allowed or not allowed, f"lower {name} to {len(long)}: it may only fall"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_table_cells_are_short(path: Path) -> None:
    rows = [line for line in path.read_text().splitlines() if line.startswith("|")]
    cells = [cell.strip() for row in rows for cell in re.split(r"(?<!\\)\|", row)]
    assert not [cell for cell in cells if len(cell) > CELL]


def test_the_command_reference_is_generated_and_current() -> None:
    page = (DOCS / "reference" / "commands.md").read_text()
    assert page == commands_page(), (
        "run: python -m greenroom.cli.reference > docs/reference/commands.md"
    )
    assert all(f"### `greenroom {name}" in page for name in COMMANDS)


def test_every_environment_variable_is_documented() -> None:
    page = (DOCS / "reference" / "configuration.md").read_text()
    sources = "".join(path.read_text() for path in PACKAGE.rglob("*.py"))
    names = set(re.findall(r'"(GREENROOM_[A-Z]+)"', sources))
    names |= set(re.findall(r'environ(?:\.\w+)?[\[(]"(\w+)"', sources))
    assert len(names) >= 8 and not [name for name in names if f"`{name}" not in page]


def test_the_glossary_has_the_kinds_of_objects() -> None:
    rows = re.findall(r"^\| ([a-z ]+) \|", (DOCS / "reference" / "glossary.md").read_text(), re.M)
    nouns = set(rows)
    ordinary = {"validation", "study", "fold", "cross validation", "search", "sandbox", "survey"}
    private = {kind.replace("_", " ") for kind in KINDS} - ordinary
    assert private <= nouns
    assert rows[1:] == sorted(rows[1:])


def test_every_page_is_in_the_sites_navigation() -> None:
    loader = yaml.SafeLoader

    def pages(node: object) -> list[str]:
        if isinstance(node, str):
            return [node]
        children = node.values() if isinstance(node, dict) else node
        assert isinstance(children, list | type({}.values()))
        return [page for child in children for page in pages(child)]

    site = yaml.load((ROOT / "mkdocs.yml").read_text(), loader)  # noqa: S506
    named = set(pages(site["nav"]))
    assert named == {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}


def _names(path: Path) -> set[str]:
    """Return what a module defines, at any depth."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
    return names


def _is_defined(name: str) -> bool:
    """Tell whether a dotted name of the package is a module, or defined in one."""
    parts = name.removeprefix("greenroom.").split(".")
    for size in range(len(parts), 0, -1):
        path = PACKAGE.joinpath(*parts[:size])
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file.is_file():
                return not parts[size:] or parts[size] in _names(file)
    return path.is_dir()


def test_the_changelog_names_what_is_there() -> None:
    table = (ROOT / "CHANGELOG.md").read_text().partition("| **public names** | |")[2]
    names = [
        match[1]
        for line in table.partition("| **")[0].splitlines()
        if (match := re.fullmatch(r"\| [^|]+ \| `([a-z_]+(?:\.\w+)+)`[^|]* \|", line))
    ]
    assert len(names) > 150
    assert not [name for name in names if not name.startswith("tests.") and not _is_defined(name)]
