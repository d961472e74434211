"""JSON schemas of every kind of manifest, as the reference page has them.

    python -m greenroom.manifests.schema > docs/reference/manifests.md

A test fails where the page is not what this prints.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from greenroom.manifests.base import VERSION, Manifest
from greenroom.manifests.codec import KINDS

_HEAD = f"""# Manifests

Every durable thing but bytes is a manifest: canonical JSON (RFC 8785) under its SHA-256. This page
is generated from `greenroom.manifests`.

Each has `kind` and `version`, which is {VERSION}. Fields at their default are left out. Units: ticks
are at 30 Hz, UTC nanoseconds are decimal strings, hashes are SHA-256 in lower-case hex.
"""


def schema_of(kind: type[Manifest]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the JSON schema of a kind, and those of its parts by name."""
    (schema,), parts = msgspec.json.schema_components([kind])
    own = parts.pop(schema["$ref"].rsplit("/", 1)[1])
    for each in (own, *parts.values()):
        each["description"] = _summary(each.get("description", ""))
    own["properties"]["version"] = {"const": VERSION}
    own["required"] = [*own.get("required", []), "version"]
    return own, parts


def reference_page() -> str:
    """Return the page: a section a kind, with its table of fields and its JSON schema."""
    sections = [_HEAD]
    for tag, kind in KINDS.items():
        own, parts = schema_of(kind)
        schema = {**own, "$defs": parts} if parts else own
        text = json.dumps(schema, indent=2, ensure_ascii=False)
        lines = [
            f"## {tag}",
            "",
            own["description"],
            "",
            *_table(kind, own),
            "",
            "```json",
            text,
            "```",
        ]
        sections.append("\n".join(lines) + "\n")
    return "\n".join(sections)


def _table(kind: type[Manifest], schema: dict[str, Any]) -> list[str]:
    """Return a Markdown table of a kind's fields, with what the docstring says of each."""
    meanings = _meanings(kind.__doc__ or "")
    rows = ["| field | needed | meaning |", "|---|---|---|"]
    for name in kind.__struct_fields__:
        needed = "yes" if name in schema["required"] else "no"
        rows.append(f"| `{name}` | {needed} | {meanings.get(name, '')} |")
    return rows


def _summary(docstring: str) -> str:
    """Return the first paragraph of a docstring, in one line."""
    return " ".join(docstring.strip().split("\n\n")[0].split())


def _meanings(docstring: str) -> dict[str, str]:
    """Return the lines of a docstring's `Attributes:`, by attribute."""
    _, _, block = docstring.partition("Attributes:\n")
    meanings: dict[str, str] = {}
    name = ""
    for line in block.splitlines():
        text = line.strip()
        if line.startswith(" " * 8) and not line.startswith(" " * 9):
            name, _, text = text.partition(": ")
            meanings[name] = text
        elif name and text:
            meanings[name] += " " + text
    return {name: text.replace("|", "\\|") for name, text in meanings.items()}


if __name__ == "__main__":
    print(reference_page(), end="")
