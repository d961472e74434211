"""Let a challenger and the champion perform the same shows and the same held takes, and tell them apart.

Each take, and each show, is one pair. Nothing else is: frames of one take say the same thing thirty
times a second, and a test that counts them finds any two models different. Intervals hold however often
one looks (`greenroom.metrics.sequences`), so more takes can be added until the two are told apart.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from greenroom.consent.gate import refusal
from greenroom.contracts import ModelShape
from greenroom.errors import BadInput, Refused
from greenroom.live.backends import OnnxBackend
from greenroom.metrics.motion import Tally, figure
from greenroom.metrics.sequences import relative_gain, sequence
from greenroom.registry.lineage import splits_behind
from greenroom.registry.release import Role, load_release
from greenroom.rehearsal.performing import live_errors, stage
from greenroom.store.objects import Manifest
from greenroom.store.workspace import Workspace
from greenroom.validation.judge import validate
from greenroom.validation.scenes import Scene, scene_of
from greenroom.validation.tallies import Tallies, tallies_of

LIVE = "live"
"""The task of what is measured on shows."""
LEVEL = 0.95
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Contender:
    """A model that is compared.

    Attributes:
        name: hash of the release or model that was named.
        model: hash of the model.
        manifest: the model's.
        backend: runs its graph.
        known: takes that it was trained on, or chosen by.
        role: how it is performed.
    """

    name: str
    model: str
    manifest: Manifest
    backend: OnnxBackend
    known: frozenset[str]
    role: Role

    @classmethod
    def of(cls, workspace: Workspace, name: str) -> Contender:
        """Return the contender that a release or a model is.

        Raises:
            Refused: it is a release that was withdrawn or never approved.
            BadInput: it is neither.
        """
        kind = workspace.objects.manifest(name)["kind"]
        if kind not in ("model", "release"):
            raise BadInput(f"{name[:12]} is a {kind}", then="give a model or a release")
        model = name
        if kind == "release":
            model = load_release(workspace, name).manifest["parents"]["model"]
        manifest = workspace.objects.manifest(model, "model")
        graph = workspace.objects.get(manifest["blobs"]["graph"])
        backend = OnnxBackend(graph, ModelShape.load(manifest["shape"]))
        behind = splits_behind(workspace, model)
        known = frozenset(take for splits in behind for takes in splits.values() for take in takes)
        return cls(name, model, manifest, backend, known, Role.of(workspace, manifest))


def compare(
    workspace: Workspace,
    challenger: str,
    champion: str,
    by: str,
    on: Sequence[str] = (),
    tasks: Sequence[str] = (),
    unit: str = "take",
    progress: Progress = lambda done, total: None,
) -> str:
    """Compare two models on the same shows and takes; keep what was found, and return its hash.

    A take that either was trained on, or chosen by, is left out, and so is a show in which one played;
    the object says which and why.

    Args:
        workspace: where they are.
        challenger: hash of a release or a model.
        champion: hash of the other.
        by: who compares.
        on: hashes of shows and takes; none for the test takes of both.
        tasks: of takes, as for `validate`; none for all that both have.
        unit: what counts as one pair: "take", which is a whole take or a whole show.
        progress: called with (steps done, steps).

    Raises:
        Refused: another unit than the take, a release that may not perform, or nothing is left.
        BadInput: the two do not drive the same joints, or cannot do the task.
    """
    if unit != "take":
        raise Refused(
            f"no figure is made by {unit}: frames of one take are not independent, so that a p-value "
            "over them calls any two models different",
            then="whole takes and shows are compared; give more of them",
        )
    ours, theirs = (Contender.of(workspace, name) for name in (challenger, champion))
    for key, what in (("features", "joints"), ("rig", "face")):
        if ours.manifest.get(key) != theirs.manifest.get(key):
            raise BadInput(
                f"the two models do not drive the same {what}, so that their errors are of other things"
            )
    shows, takes, left_out = _chosen(workspace, ours, theirs, on)
    steps = len(takes) * 2 + len(shows)

    def onward(at: int) -> Progress:
        return lambda done, total: progress(at + done, steps)

    pairs: dict[str, dict[str, dict[str, tuple[Tally, Tally]]]] = {}
    validations: list[str] = []
    if takes:
        scenes = {take: scene_of(workspace, take) for take in takes}
        validations = [
            _judged(workspace, contender, by, scenes, tasks, onward(n * len(takes)))
            for n, contender in enumerate((ours, theirs))
        ]
        both = [tallies_of(workspace.objects.manifest(name)) for name in validations]
        pairs = _pairs(*both)
    for n, show in enumerate(shows):
        for metric, pair in _performed(workspace, show, ours, theirs).items():
            pairs.setdefault(LIVE, {}).setdefault(metric, {})[show] = pair
        progress(2 * len(takes) + n + 1, steps)
    found = {
        task: {metric: _told(rows) for metric, rows in metrics.items()}
        for task, metrics in pairs.items()
    }
    sandbox = {
        "kind": "sandbox",
        "version": 1,
        "actor": theirs.manifest["actor"],
        "unit": unit,
        "level": LEVEL,
        "left_out": left_out,
        "figures": {t: {m: row["figures"] for m, row in ms.items()} for t, ms in found.items()},
        "sequences": {t: {m: row["sequence"] for m, row in ms.items()} for t, ms in found.items()},
        "parents": {
            "challenger": ours.name,
            "champion": theirs.name,
            "validations": validations,
            "shows": shows,
            "takes": takes,
        },
    }
    return workspace.publish(sandbox, by=by)


def _chosen(
    workspace: Workspace, ours: Contender, theirs: Contender, on: Sequence[str]
) -> tuple[list[str], list[str], dict[str, str]]:
    """Return shows, takes, and why others were left out.

    Raises:
        Refused: nothing is left.
    """
    if not on:
        datasets = {c.manifest["parents"]["dataset"] for c in (ours, theirs)}
        found = [workspace.objects.manifest(name)["splits"]["test"] for name in datasets]
        on = [take for takes in found for take in takes]
    day = datetime.datetime.now(datetime.UTC).date()
    chosen: dict[str, list[str]] = {"show": [], "take": []}
    left_out = {}
    for name in sorted(set(on)):  # hashes are in no order that has to do with what they name
        manifest = workspace.objects.manifest(name)
        kind = manifest["kind"]
        if kind not in chosen:
            raise BadInput(f"{name[:12]} is a {kind}", then="give shows and takes")
        takes = manifest["parents"].get("takes", []) if kind == "show" else [name]
        why = next(_objections(workspace, takes, ours, theirs, day), "")
        if why:
            left_out[name] = why
        else:
            chosen[kind].append(name)
    if not chosen["show"] and not chosen["take"]:
        said = "; ".join(sorted(set(left_out.values()))) or "no take is in both's test split"
        raise Refused(f"there is nothing to compare them on: {said}", then="give other takes: --on")
    return chosen["show"], chosen["take"], left_out


def _objections(
    workspace: Workspace,
    takes: Sequence[str],
    ours: Contender,
    theirs: Contender,
    day: datetime.date,
) -> Iterator[str]:
    """Yield what speaks against comparing the two on takes, or on a show in which they played."""
    for take in takes:
        for who, contender in (("challenger", ours), ("champion", theirs)):
            if take in contender.known:
                yield f"the {who} was trained on it or chosen by it"
        why = refusal(workspace.objects.manifest(take, "take"), "perform", day)
        if why:
            yield why


def _judged(
    workspace: Workspace,
    contender: Contender,
    by: str,
    scenes: dict[str, Scene],
    tasks: Sequence[str],
    progress: Progress,
) -> str:
    backend = contender.backend
    return validate(workspace, contender.model, backend, by, scenes, tuple(tasks) or None, progress)


def _pairs(ours: Tallies, theirs: Tallies) -> dict[str, dict[str, dict[str, tuple[Tally, Tally]]]]:
    """Return task → metric → take → both tallies, of takes that both were judged on."""
    return {
        task: {
            metric: {
                take: (tally, theirs[task][metric][take])
                for take, tally in rows.items()
                if take in theirs[task][metric]
                and min(tally.weight, theirs[task][metric][take].weight) > 0
            }
            for metric, rows in metrics.items()
            if metric in theirs[task]
        }
        for task, metrics in ours.items()
        if task in theirs
    }


def _performed(
    workspace: Workspace, show: str, ours: Contender, theirs: Contender
) -> dict[str, tuple[Tally, Tally]]:
    """Return metric → both tallies of one show that both performed, on the champion's bones."""
    one, other = (
        live_errors(
            workspace,
            show,
            stage(workspace, show, contender.role, contender.backend),
            contender.role,
            theirs.role,
        )
        for contender in (ours, theirs)
    )
    return {metric: (tally, other[metric]) for metric, tally in one.items() if metric in other}


def _told(rows: dict[str, tuple[Tally, Tally]]) -> dict[str, Any]:
    """Return the figures and the sequence of a metric's pairs, in the order of their hashes."""
    names = sorted(rows)
    ours, theirs = ([rows[name][side] for name in names] for side in (0, 1))
    errors = [[t.sums["model"] / t.weight for t in side] for side in (ours, theirs)]
    found = sequence(relative_gain(*errors), LEVEL)
    low, high, gain = ([round(float(v), 4) for v in s] for s in (found.low, found.high, found.gain))
    return {
        "figures": {
            "challenger": round(figure(ours, "model"), 4),
            "champion": round(figure(theirs, "model"), 4),
            "better": "higher" if ours[0].kind == "skill" else "lower",
            "gain": gain[-1],
            "ci": [low[-1], high[-1]],
            "verdict": found.verdict,
            "told": found.told,
            "takes": len(names),
        },
        "sequence": {"takes": names, "gain": gain, "low": low, "high": high},
    }
