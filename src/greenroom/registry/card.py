"""Tell on one page what a release is: written from the manifests alone, kept in the release for good."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from greenroom.store.objects import Manifest
from greenroom.store.workspace import Workspace


def card(
    workspace: Workspace, model_name: str, validation_name: str | None, decisions: list[Any]
) -> str:
    """Return a model's card as Markdown: data, rights, figures, gates, limits, lineage.

    Args:
        workspace: where its manifests are.
        model_name: its hash.
        validation_name: of the object that says how it was judged; None where it was not.
        decisions: of the gates that it passed.
    """
    model = workspace.objects.manifest(model_name, "model")
    dataset_name = model["parents"]["dataset"]
    dataset = workspace.objects.manifest(dataset_name, "dataset")
    validation = None
    if validation_name is not None:
        validation = workspace.objects.manifest(validation_name, "validation")
    parts = [
        f"# {model['actor']}: model {model_name[:12]}",
        "Written from the manifests; nothing here was typed by hand.",
        _facts(model_name, model, dataset_name),
        _data(workspace, dataset),
        _rights(model),
        _figures(validation),
        _gates(decisions),
        _lineage(model_name, dataset_name, dataset, validation_name),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _facts(name: str, model: Manifest, dataset: str) -> str:
    recipe = ", ".join(f"{key} {value}" for key, value in sorted(model["recipe"].items()))
    rows = [
        ("model", f"`{name}`"),
        ("dataset", f"`{dataset}`"),
        ("feature specification", f"`{model['feature_spec']}`"),
        ("preset", f"{model['preset']}, {model['parameters']:,} numbers"),
        ("recipe", recipe),
        ("drives", ", ".join(model["features"]["joints"])),
        ("face from speech", f"{len(model['rig'])} weights" if "rig" in model else "none"),
        ("tells apart", ", ".join(model["styles"]) if "styles" in model else "no styles"),
        *((f"part: {kind}", f"`{part}`") for kind, part in sorted(model.get("parts", {}).items())),
    ]
    if "words" in model:
        known = sorted(model["words"].items())
        rows.append(("may be told", ", ".join(f"{len(words)} {tier}" for tier, words in known)))
    return _table(("", ""), rows)


def _data(workspace: Workspace, dataset: Manifest) -> str:
    rows: list[tuple[str, ...]] = []
    seen: dict[str, set[str]] = {}
    for split, takes in sorted(dataset["splits"].items()):
        manifests = [workspace.objects.manifest(take, "take") for take in takes]
        seconds = sum(manifest["ticks"] for manifest in manifests) / 30
        rows.append((split, str(len(takes)), f"{seconds:,.0f}"))
        for manifest in manifests:
            for tier, value in manifest.get("tiers", {}).items():
                if isinstance(value, str):
                    seen.setdefault(tier, set()).add(value)
    labels = [
        f"- {tier}: {', '.join(sorted(values))}"
        for tier, values in sorted(seen.items())
        if len(values) <= 30
    ]
    table = _table(("split", "takes", "seconds"), rows)
    return "\n\n".join(["## Data", table, *(["\n".join(labels)] if labels else [])])


def _rights(model: Manifest) -> str:
    rows = [
        (
            str(rights["participant"]),
            str(rights.get("licence", "signed consent")),
            ", ".join(rights["purposes"]),
            str(rights.get("expiry", "no end")),
        )
        for rights in model["rights"]
    ]
    return "## Rights when it was trained\n\n" + _table(
        ("participant", "by", "purposes", "until"), rows
    )


def _figures(validation: Manifest | None) -> str:
    if validation is None:
        return "## Figures\n\nIt was not validated."
    found = [
        (f"{task}.{metric}", row)
        for task, metrics in sorted(validation["figures"].items())
        for metric, row in sorted(metrics.items())
    ]
    rows = [
        (
            name,
            f"{row['model']:.3f}",
            "{:.3f} to {:.3f}".format(*row["ci"]),
            f"{row['floor']:.3f}",
            "{:.3f} to {:.3f}".format(*row["gain"]),
            str(row["takes"]),
        )
        for name, row in found
    ]
    head = ("metric", "model", "95 %", "floor", "gain, 95 %", "takes")
    worse = [name for name, row in found if row["gain"][1] < 0]
    unsure = [name for name, row in found if row["gain"][0] <= 0 <= row["gain"][1]]
    limits = []
    if worse:
        limits.append(f"It is worse than the floor at {', '.join(worse)}.")
    if unsure:
        limits.append(f"It is not told apart from the floor at {', '.join(unsure)}.")
    text = f"## Figures on its {validation['on']}\n\n" + _table(head, rows)
    return text + ("\n\n## Limits\n\n" + " ".join(limits) if limits else "")


def _gates(decisions: list[Any]) -> str:
    if not decisions:
        return ""
    rows = [
        (d["metric"], d["against"], "passed" if d["passed"] else "failed", d["why"])
        for d in decisions
    ]
    return "## Gates\n\n" + _table(("metric", "against", "decision", "why"), rows)


def _lineage(model: str, name: str, dataset: Manifest, validation: str | None) -> str:
    takes = len(dataset["parents"]["takes"])
    lines = [
        f'    takes["{takes} takes"] --> dataset["dataset {name[:12]}"]',
        f'    dataset --> model["model {model[:12]}"]',
    ]
    if validation is not None:
        lines.append(f'    model --> validation["validation {validation[:12]}"]')
    return "## Lineage\n\n```mermaid\ngraph LR\n" + "\n".join(lines) + "\n```"
