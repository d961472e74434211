"""Let a challenger and the champion perform the same shows and the same held takes, and tell them apart.

Each take, and each show, is one pair. Nothing else is: frames of one take say the same thing thirty
times a second, and a test that counts them finds any two models different. Intervals hold however often
one looks (`greenroom.metrics.sequences`), so more takes can be added until the two are told apart.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from greenroom.consent.gate import refusal_reason
from greenroom.errors import BadInput, Refused
from greenroom.manifests import (
    Dataset,
    Model,
    PairFigure,
    PairSequence,
    ReleaseManifest,
    Sandbox,
    SandboxParents,
    Show,
    Validation,
    kind_of,
)
from greenroom.metrics.motion import SufficientStats, aggregate
from greenroom.metrics.sequences import relative_gain, sequence
from greenroom.registry.lineage import splits_behind
from greenroom.registry.release import PerformerSpec, load_release
from greenroom.rehearsal.rerun import live_error_stats, rerun_show
from greenroom.serving.onnx_backend import OnnxBackend, open_model
from greenroom.store.workspace import Workspace
from greenroom.validation.eval_takes import EvalTake, load_eval_take
from greenroom.validation.evaluator import EvalScope, validate
from greenroom.validation.sufficient_stats import StatsByTask, read_stats

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
        seen_takes: takes that it was trained on, or chosen by.
        role: how it is performed.
    """

    name: str
    model: str
    manifest: Model
    backend: OnnxBackend
    seen_takes: frozenset[str]
    role: PerformerSpec

    @classmethod
    def of(cls, workspace: Workspace, name: str) -> Contender:
        """Return the contender that a release or a model is.

        Raises:
            Refused: it is a release that was withdrawn or never approved.
            BadInput: it is neither.
        """
        named = workspace.objects.read_any(name)
        if not isinstance(named, Model | ReleaseManifest):
            raise BadInput(f"{name[:12]} is a {kind_of(named)}", then="give a model or a release")
        model = name
        if isinstance(named, ReleaseManifest):
            model = load_release(workspace, name).manifest.parents.model
        manifest = workspace.objects.read(model, Model)
        ancestor_splits = splits_behind(workspace, model)
        seen_takes = frozenset(
            take for splits in ancestor_splits for takes in splits.values() for take in takes
        )
        return cls(
            name,
            model,
            manifest=manifest,
            backend=open_model(workspace, manifest),
            seen_takes=seen_takes,
            role=PerformerSpec.of(workspace, manifest),
        )


@dataclass(frozen=True)
class SandboxScope:
    """What a comparison is made on.

    Attributes:
        on: hashes of shows and takes; none for the test takes of both models.
        tasks: of takes, as for `validate`; none for all that both models have.
        unit: what counts as one pair: "take", which is a whole take or a whole show.
    """

    on: Sequence[str] = ()
    tasks: Sequence[str] = ()
    unit: str = "take"

    def check(self) -> None:
        """Pass, or raise.

        Raises:
            Refused: the unit is another than the take.
        """
        if self.unit != "take":
            raise Refused(
                f"no figure is made by {self.unit}: frames of one take are not independent, so that a "
                "p-value over them calls any two models different",
                then="whole takes and shows are compared; give more of them",
            )


Pairs = dict[str, dict[str, dict[str, tuple[SufficientStats, SufficientStats]]]]
"""Task → metric → take or show → the statistics of challenger and champion."""


def compare(
    workspace: Workspace,
    challenger: str,
    champion: str,
    by: str,
    scope: SandboxScope = SandboxScope(),
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
        scope: what they are compared on.
        progress: called with (steps done, steps).

    Raises:
        Refused: another unit than the take, a release that may not perform, or nothing is left.
        BadInput: the two do not drive the same joints, or cannot do the task.
    """
    scope.check()
    ours, theirs = (Contender.of(workspace, name) for name in (challenger, champion))
    _require_comparable(ours, theirs)
    shows, takes, left_out = _select_inputs(workspace, ours, theirs, scope.on)
    steps = len(takes) * 2 + len(shows)

    def onward(offset: int) -> Progress:
        return lambda done, total: progress(offset + done, steps)

    pairs: Pairs = {}
    validations: list[str] = []
    if takes:
        scenes = {take: load_eval_take(workspace, take) for take in takes}
        validations = [
            _judged(
                workspace,
                contender,
                by=by,
                scenes=scenes,
                tasks=scope.tasks,
                progress=onward(n * len(takes)),
            )
            for n, contender in enumerate((ours, theirs))
        ]
        both = [read_stats(workspace.objects.read(name, Validation)) for name in validations]
        pairs = _pairs(*both)
    for n, show in enumerate(shows):
        for metric, pair in _live_tallies(workspace, show, ours, theirs).items():
            pairs.setdefault(LIVE, {}).setdefault(metric, {})[show] = pair
        progress(2 * len(takes) + n + 1, steps)
    parents = SandboxParents(
        challenger=ours.name,
        champion=theirs.name,
        validations=validations,
        shows=shows,
        takes=takes,
    )
    sandbox = _sandbox(theirs.manifest.actor, pairs, parents, left_out=left_out)
    return workspace.publish(sandbox, by=by)


def _require_comparable(ours: Contender, theirs: Contender) -> None:
    """Pass, or raise where two models do not drive the same joints or face."""
    for key, target in (("features", "joints"), ("rig", "face")):
        if getattr(ours.manifest, key) != getattr(theirs.manifest, key):
            raise BadInput(
                f"the two models do not drive the same {target}, so that "
                "their errors are of other things"
            )


def _sandbox(
    actor: str, pairs: Pairs, parents: SandboxParents, left_out: dict[str, str]
) -> Sandbox:
    """Return the comparison as an object."""
    results = {
        task: {metric: _compare_pairs(rows) for metric, rows in metrics.items()}
        for task, metrics in pairs.items()
    }
    return Sandbox(
        actor=actor,
        unit="take",
        level=LEVEL,
        left_out=left_out,
        figures={t: {m: figure for m, (figure, _) in ms.items()} for t, ms in results.items()},
        sequences={t: {m: series for m, (_, series) in ms.items()} for t, ms in results.items()},
        parents=parents,
    )


def _select_inputs(
    workspace: Workspace, challenger: Contender, champion: Contender, on: Sequence[str]
) -> tuple[list[str], list[str], dict[str, str]]:
    """Return shows, takes, and why others were left out.

    Raises:
        Refused: nothing is left.
    """
    if not on:
        datasets = {each.manifest.parents.dataset for each in (challenger, champion)}
        test_splits = [workspace.objects.read(name, Dataset).splits["test"] for name in datasets]
        on = [take for takes in test_splits for take in takes]
    day = workspace.today()
    selected: dict[str, list[str]] = {"show": [], "take": []}
    left_out = {}
    for name in sorted(set(on)):  # hashes are in no order that has to do with what they name
        manifest = workspace.objects.read_any(name)
        kind = kind_of(manifest)
        if kind not in selected:
            raise BadInput(f"{name[:12]} is a {kind}", then="give shows and takes")
        takes = manifest.parents.takes if isinstance(manifest, Show) else [name]
        objection = next(
            _objections(workspace, takes, challenger=challenger, champion=champion, day=day), ""
        )
        if objection:
            left_out[name] = objection
        else:
            selected[kind].append(name)
    if not selected["show"] and not selected["take"]:
        reasons = "; ".join(sorted(set(left_out.values()))) or "no take is in both's test split"
        raise Refused(
            f"there is nothing to compare them on: {reasons}", then="give other takes: --on"
        )
    return selected["show"], selected["take"], left_out


def _objections(
    workspace: Workspace,
    takes: Sequence[str],
    challenger: Contender,
    champion: Contender,
    day: datetime.date,
) -> Iterator[str]:
    """Yield what speaks against comparing the two on takes, or on a show in which they played."""
    for take in takes:
        for side, contender in (("challenger", challenger), ("champion", champion)):
            if take in contender.seen_takes:
                yield f"the {side} was trained on it or chosen by it"
        why = refusal_reason(workspace, take, "perform", day)
        if why:
            yield why


def _judged(
    workspace: Workspace,
    contender: Contender,
    by: str,
    scenes: dict[str, EvalTake],
    tasks: Sequence[str],
    progress: Progress,
) -> str:
    scope = EvalScope(scenes, tuple(tasks) or None)
    return validate(
        workspace, contender.model, contender.backend, by, scope=scope, progress=progress
    )


def _pairs(
    challenger_tallies: StatsByTask, champion_tallies: StatsByTask
) -> dict[str, dict[str, dict[str, tuple[SufficientStats, SufficientStats]]]]:
    """Return task → metric → take → both tallies, of takes that both were judged on."""
    return {
        task: {
            metric: {
                take: (tally, champion_tallies[task][metric][take])
                for take, tally in rows.items()
                if take in champion_tallies[task][metric]
                and min(tally.weight, champion_tallies[task][metric][take].weight) > 0
            }
            for metric, rows in metrics.items()
            if metric in champion_tallies[task]
        }
        for task, metrics in challenger_tallies.items()
        if task in champion_tallies
    }


def _live_tallies(
    workspace: Workspace, show: str, challenger: Contender, champion: Contender
) -> dict[str, tuple[SufficientStats, SufficientStats]]:
    """Return metric → both tallies of one show that both performed, on the champion's bones."""
    challenger_tallies, champion_tallies = (
        live_error_stats(
            workspace,
            show,
            staged=rerun_show(workspace, show, contender.role, contender.backend),
            role=contender.role,
            like=champion.role,
        )
        for contender in (challenger, champion)
    )
    return {
        metric: (tally, champion_tallies[metric])
        for metric, tally in challenger_tallies.items()
        if metric in champion_tallies
    }


def _compare_pairs(
    rows: dict[str, tuple[SufficientStats, SufficientStats]],
) -> tuple[PairFigure, PairSequence]:
    """Return the figures and the sequence of a metric's pairs, in the order of their hashes."""
    names = sorted(rows)
    challenger_tallies, champion_tallies = ([rows[name][side] for name in names] for side in (0, 1))
    errors = [
        [t.sums["model"] / t.weight for t in side]
        for side in (challenger_tallies, champion_tallies)
    ]
    result = sequence(relative_gain(*errors), LEVEL)
    low, high, gain = (
        [round(float(v), 4) for v in s] for s in (result.low, result.high, result.gain)
    )
    figure = PairFigure(
        challenger=round(aggregate(challenger_tallies, "model"), 4),
        champion=round(aggregate(champion_tallies, "model"), 4),
        better="higher" if challenger_tallies[0].kind == "skill" else "lower",
        gain=gain[-1],
        ci=(low[-1], high[-1]),
        verdict=result.verdict,
        decided_after=result.decided_after,
        takes=len(names),
    )
    return figure, PairSequence(takes=names, gain=gain, low=low, high=high)
