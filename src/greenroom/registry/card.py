"""Tell on one page what a release is: written from the manifests alone, kept in the release for good."""

from __future__ import annotations

from collections.abc import Sequence

from greenroom.capture.annotations import dataset_tiers
from greenroom.manifests import Dataset, Figure, GateDecision, GroupFigure, Model, Take, Validation
from greenroom.store.workspace import Workspace


def model_card(
    workspace: Workspace,
    model_name: str,
    validation_name: str | None,
    decisions: Sequence[GateDecision],
) -> str:
    """Return a model's card as Markdown: data, rights, figures, gates, limits, lineage.

    Args:
        workspace: where its manifests are.
        model_name: its hash.
        validation_name: of the object that says how it was judged; None where it was not.
        decisions: of the gates that it passed.
    """
    model = workspace.objects.read(model_name, Model)
    dataset_name = model.parents.dataset
    dataset = workspace.objects.read(dataset_name, Dataset)
    validation = None
    if validation_name:
        validation = workspace.objects.read(validation_name, Validation)
    parts = [
        f"# {model.actor}: model {model_name[:12]}",
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


def _facts(name: str, model: Model, dataset: str) -> str:
    recipe = ", ".join(f"{key} {value}" for key, value in sorted(model.recipe.items()))
    rows = [
        ("model", f"`{name}`"),
        ("dataset", f"`{dataset}`"),
        ("feature specification", f"`{model.feature_spec}`"),
        ("preset", f"{model.preset}, {model.parameters:,} numbers"),
        ("recipe", recipe),
        ("drives", ", ".join(model.features.joints)),
        ("face from speech", f"{len(model.rig)} weights" if model.rig else "none"),
        ("styles", ", ".join(model.styles) if model.styles else "none"),
        *((f"part: {kind}", f"`{part}`") for kind, part in sorted(model.parts.items())),
    ]
    if model.vocabulary:
        vocabularies = sorted(model.vocabulary.items())
        rows.append(("labels", ", ".join(f"{len(words)} {tier}" for tier, words in vocabularies)))
    return _table(("", ""), rows)


def _data(workspace: Workspace, dataset: Dataset) -> str:
    rows: list[tuple[str, ...]] = []
    tiers_by_take = dataset_tiers(workspace, dataset)
    values_by_tier: dict[str, set[str]] = {}
    for split, takes in sorted(dataset.splits.items()):
        manifests = [workspace.objects.read(take, Take) for take in takes]
        seconds = sum(manifest.clock.ticks for manifest in manifests) / 30
        rows.append((split, str(len(takes)), f"{seconds:,.0f}"))
        for take in takes:
            for tier, value in tiers_by_take[take].items():
                if isinstance(value, str):
                    values_by_tier.setdefault(tier, set()).add(value)
    labels = [
        f"- {tier}: {', '.join(sorted(values))}"
        for tier, values in sorted(values_by_tier.items())
        if len(values) <= 30
    ]
    table = _table(("split", "takes", "seconds"), rows)
    return "\n\n".join(["## Data", table, *(["\n".join(labels)] if labels else [])])


def _rights(model: Model) -> str:
    rows = [
        (
            rights.participant,
            rights.licence or "signed consent",
            ", ".join(rights.purposes),
            rights.expiry or "no end",
        )
        for rights in model.rights
    ]
    return "## Rights when it was trained\n\n" + _table(
        ("participant", "by", "purposes", "until"), rows
    )


def _figures(validation: Validation | None) -> str:
    if validation is None:
        return "## Figures\n\nIt was not validated."
    rows = [
        (
            name,
            f"{row.model:.3f}",
            "{:.3f} to {:.3f}".format(*row.ci),
            f"{row.baseline:.3f}",
            "{:.3f} to {:.3f}".format(*row.gain),
            str(row.takes),
        )
        for name, row in _measured(validation)
    ]
    head = ("metric", "model", "95 %", "baseline", "gain, 95 %", "takes")
    return f"## Figures on its {validation.on}\n\n" + _table(head, rows)


def _measured(validation: Validation) -> list[tuple[str, Figure]]:
    """Return (metric, figures) of all takes."""
    return [
        (f"{task}.{metric}", row)
        for task, metrics in sorted(validation.figures.items())
        for metric, row in sorted(metrics.items())
    ]


def _grouped(validation: Validation) -> list[tuple[str, str, GroupFigure]]:
    """Return (metric, "tier: value", figures) of every group."""
    return [
        (metric, f"{tier}: {value or 'not said'}", row)
        for metric, figures in _measured(validation)
        for tier, values in sorted(figures.groups.items())
        for value, row in sorted(values.items())
    ]


def _groups(validation: Validation | None) -> str:
    """Of each metric and tier the group that gains least: a mean may hide it."""
    least: dict[tuple[str, str], tuple[str, GroupFigure]] = {}
    for metric, group, row in _grouped(validation) if validation is not None else []:
        key = metric, group.split(": ")[0]
        if key not in least or row.gain[0] < least[key][1].gain[0]:
            least[key] = group, row
    if not least:
        return ""
    rows = [
        (
            metric,
            group,
            f"{row.model:.3f}",
            f"{row.baseline:.3f}",
            "{:.3f} to {:.3f}".format(*row.gain),
            str(row.takes),
        )
        for (metric, _), (group, row) in least.items()
    ]
    head = ("metric", "group", "model", "baseline", "gain, 95 %", "takes")
    return "## Groups that gain least\n\n" + _table(head, rows)


def _limits(validation: Validation | None) -> str:
    if validation is None:
        return ""
    named_rows: list[tuple[str, Figure | GroupFigure]] = [
        *_measured(validation),
        *((f"{metric} ({group})", row) for metric, group, row in _grouped(validation)),
    ]
    worse = [name for name, row in named_rows if row.gain[1] < 0]
    inconclusive = [name for name, row in named_rows if row.gain[0] <= 0 <= row.gain[1]]
    limits = []
    if worse:
        limits.append(f"It is worse than the baseline at {', '.join(worse)}.")
    if inconclusive:
        names = ", ".join(inconclusive)
        limits.append(f"It does not differ significantly from the baseline at {names}.")
    return "## Limits\n\n" + "\n\n".join(limits) if limits else ""


def _gates(decisions: Sequence[GateDecision]) -> str:
    if not decisions:
        return ""
    rows = [(d.metric, d.against, "passed" if d.passed else "failed", d.why) for d in decisions]
    return "## Gates\n\n" + _table(("metric", "against", "decision", "why"), rows)


def _lineage(workspace: Workspace, model: str, validation: str | None) -> str:
    """Draw what it was made of, and what each model was made of that it started from."""
    lines: list[str] = []

    def draw(kind: str, name: str, into: str, what: str) -> str:
        node = f"{kind}_{name[:12]}"
        lines.append(f'    {node}["{what}"] --> {into}')
        return node

    name = model
    at = f"model_{model[:12]}"
    lines.append(f'    {at}["model {model[:12]}"]')
    while name:
        manifest = workspace.objects.read(name, Model)
        parents = manifest.parents
        takes = workspace.objects.read(parents.dataset, Dataset).parents.takes
        dataset = draw("dataset", parents.dataset, at, f"dataset {parents.dataset[:12]}")
        draw("takes", parents.dataset, dataset, f"{len(takes)} takes")
        if parents.takes:
            draw("updated", name, at, f"{len(parents.takes)} takes of an update")
        for kind, part in sorted(manifest.parts.items()):
            draw("part", part, at, f"part {kind} {part[:12]}")
        name = parents.start
        if name:
            at = draw("model", name, at, f"model {name[:12]}, where it began")
    if validation:
        lines.append(f'    model_{model[:12]} --> validation["validation {validation[:12]}"]')
    return "## Lineage\n\n```mermaid\ngraph LR\n" + "\n".join(lines) + "\n```"
