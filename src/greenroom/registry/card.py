"""Tell on one page what a release is: written from the manifests alone, kept in the release for good."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from greenroom.store.objects import Manifest
from greenroom.store.workspace import Workspace


def model_card(
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
        _groups(validation),
        _limits(validation),
        _gates(decisions),
        _lineage(workspace, model_name, validation_name),
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
        vocabularies = sorted(model["words"].items())
        rows.append(
            ("may be told", ", ".join(f"{len(words)} {tier}" for tier, words in vocabularies))
        )
    return _table(("", ""), rows)


def _data(workspace: Workspace, dataset: Manifest) -> str:
    rows: list[tuple[str, ...]] = []
    values_by_tier: dict[str, set[str]] = {}
    for split, takes in sorted(dataset["splits"].items()):
        manifests = [workspace.objects.manifest(take, "take") for take in takes]
        seconds = sum(manifest["ticks"] for manifest in manifests) / 30
        rows.append((split, str(len(takes)), f"{seconds:,.0f}"))
        for manifest in manifests:
            for tier, value in manifest.get("tiers", {}).items():
                if isinstance(value, str):
                    values_by_tier.setdefault(tier, set()).add(value)
    labels = [
        f"- {tier}: {', '.join(sorted(values))}"
        for tier, values in sorted(values_by_tier.items())
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
    rows = [
        (
            name,
            f"{row['model']:.3f}",
            "{:.3f} to {:.3f}".format(*row["ci"]),
            f"{row['floor']:.3f}",
            "{:.3f} to {:.3f}".format(*row["gain"]),
            str(row["takes"]),
        )
        for name, row in _measured(validation)
    ]
    head = ("metric", "model", "95 %", "floor", "gain, 95 %", "takes")
    return f"## Figures on its {validation['on']}\n\n" + _table(head, rows)


def _measured(validation: Manifest) -> list[tuple[str, dict[str, Any]]]:
    """Return (metric, figures) of all takes."""
    return [
        (f"{task}.{metric}", row)
        for task, metrics in sorted(validation["figures"].items())
        for metric, row in sorted(metrics.items())
    ]


def _grouped(validation: Manifest) -> list[tuple[str, str, dict[str, Any]]]:
    """Return (metric, "tier: value", figures) of every group."""
    return [
        (metric, f"{tier}: {value or 'not said'}", row)
        for metric, figures in _measured(validation)
        for tier, values in sorted(figures.get("groups", {}).items())
        for value, row in sorted(values.items())
    ]


def _groups(validation: Manifest | None) -> str:
    """Of each metric and tier the group that gains least: a mean may hide it."""
    least: dict[tuple[str, str], tuple[str, dict[str, Any]]] = {}
    for metric, group, row in _grouped(validation) if validation is not None else []:
        key = metric, group.split(": ")[0]
        if key not in least or row["gain"][0] < least[key][1]["gain"][0]:
            least[key] = group, row
    if not least:
        return ""
    rows = [
        (
            metric,
            group,
            f"{row['model']:.3f}",
            f"{row['floor']:.3f}",
            "{:.3f} to {:.3f}".format(*row["gain"]),
            str(row["takes"]),
        )
        for (metric, _), (group, row) in least.items()
    ]
    head = ("metric", "group", "model", "floor", "gain, 95 %", "takes")
    return "## Groups that gain least\n\n" + _table(head, rows)


def _limits(validation: Manifest | None) -> str:
    if validation is None:
        return ""
    named_rows = [
        *_measured(validation),
        *((f"{metric} ({group})", row) for metric, group, row in _grouped(validation)),
    ]
    worse = [name for name, row in named_rows if row["gain"][1] < 0]
    unsure = [name for name, row in named_rows if row["gain"][0] <= 0 <= row["gain"][1]]
    limits = []
    if worse:
        limits.append(f"It is worse than the floor at {', '.join(worse)}.")
    if unsure:
        limits.append(f"It is not told apart from the floor at {', '.join(unsure)}.")
    return "## Limits\n\n" + "\n\n".join(limits) if limits else ""


def _gates(decisions: list[Any]) -> str:
    if not decisions:
        return ""
    rows = [
        (d["metric"], d["against"], "passed" if d["passed"] else "failed", d["why"])
        for d in decisions
    ]
    return "## Gates\n\n" + _table(("metric", "against", "decision", "why"), rows)


def _lineage(workspace: Workspace, model: str, validation: str | None) -> str:
    """Draw what it was made of, and what each model was made of that it started from."""
    lines: list[str] = []

    def draw(kind: str, name: str, into: str, what: str) -> str:
        node = f"{kind}_{name[:12]}"
        lines.append(f'    {node}["{what}"] --> {into}')
        return node

    name: str | None = model
    at = f"model_{model[:12]}"
    lines.append(f'    {at}["model {model[:12]}"]')
    while name is not None:
        manifest = workspace.objects.manifest(name, "model")
        parents = manifest["parents"]
        takes = workspace.objects.manifest(parents["dataset"], "dataset")["parents"]["takes"]
        dataset = draw("dataset", parents["dataset"], at, f"dataset {parents['dataset'][:12]}")
        draw("takes", parents["dataset"], dataset, f"{len(takes)} takes")
        if parents.get("takes"):
            draw("updated", name, at, f"{len(parents['takes'])} takes of an update")
        for kind, part in sorted(manifest.get("parts", {}).items()):
            draw("part", part, at, f"part {kind} {part[:12]}")
        name = parents.get("start")
        if name is not None:
            at = draw("model", name, at, f"model {name[:12]}, where it began")
    if validation is not None:
        lines.append(f'    model_{model[:12]} --> validation["validation {validation[:12]}"]')
    return "## Lineage\n\n```mermaid\ngraph LR\n" + "\n".join(lines) + "\n```"
