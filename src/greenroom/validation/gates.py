"""Decide by data whether a model may go on: gates, and the evidence for each decision.

A gate is {"metric": "task.metric", "against": "baseline" or "champion", "margin": number, "level":
number}. It passes if, over takes resampled in pairs, the lower bound of the gain at `level` is above
`margin`:
0 asks for better, a negative margin forgives so much worse (degrees, or skill). `"worst": true` asks it
of every single take's gain instead of the mean's interval; `"worst": "style"`, or another tier of
labels, of each group's interval.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from greenroom.errors import BadInput, Refused
from greenroom.manifests import Gate, GateDecision, Model, ReleaseManifest, Validation
from greenroom.metrics.intervals import gain, interval
from greenroom.metrics.motion import SufficientStats, aggregate
from greenroom.registry.policy import policy_of
from greenroom.registry.promote import live_ref
from greenroom.store.workspace import Workspace
from greenroom.validation.eval_model import FLOOR, FREE_RUN
from greenroom.validation.sufficient_stats import group_stats, read_stats

AGAINST = ("baseline", "champion")
_KEYS = {"metric", "against", "margin", "level", "worst"}


def read_gates(document: Any, where: str) -> list[Gate]:
    """Return gates, checked, from decoded JSON.

    Raises:
        BadInput: one is not a gate.
    """
    if not isinstance(document, list):
        raise BadInput("gates are a list of objects", where=where)
    out = []
    for n, gate in enumerate(document, 1):
        location = f"{where}, gate {n}"
        if not isinstance(gate, dict) or set(gate) - _KEYS or "metric" not in gate:
            raise BadInput(f"a gate has {', '.join(sorted(_KEYS))}", where=location)
        task, _, metric = str(gate["metric"]).partition(".")
        if task not in FLOOR or not metric:
            raise BadInput(
                f"'{gate['metric']}' is no metric", where=location, then="like infill.limb_deg"
            )
        gate_options = {"against": "baseline", "margin": 0.0, "level": 0.95, "worst": False, **gate}
        if gate_options["against"] not in AGAINST:
            raise BadInput(f"a gate is against {' or '.join(AGAINST)}", where=location)
        for key, low, high in (("margin", -1e9, 1e9), ("level", 0.5, 0.9999)):
            value = gate_options[key]
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise BadInput(f"{key} is a number", where=location)
            if not low <= value <= high:
                raise BadInput(f"{key} {value} is outside {low} to {high}", where=location)
        if not isinstance(gate_options["worst"], bool | str):
            raise BadInput("worst is true, false or a tier of labels", where=location)
        margin, level = float(gate_options["margin"]), float(gate_options["level"])
        out.append(Gate(**{**gate_options, "margin": margin, "level": level}))
    return out


def newest_validation(workspace: Workspace, model: str) -> str | None:
    """Return the validation of a model on its own test split that measured most, of several the last.

    A model is its bytes, so what was measured of it stays true: one task that is looked at again, or a
    minute alone after ten, takes nothing away.
    """
    newest_validation, largest_count = None, -1
    for entry in workspace.log.entries():
        if entry.event == "publish" and entry.body["kind"] == "validation":
            manifest = workspace.objects.read(entry.body["object"], Validation)
            if manifest.parents.model == model and manifest.on == "test split":
                metrics = [
                    metric_tallies
                    for task in manifest.stats.values()
                    for metric_tallies in task.values()
                ]
                measured = sum(len(takes) for takes in metrics)
                if measured >= largest_count:
                    newest_validation, largest_count = str(entry.body["object"]), measured
    return newest_validation


def decide_gates(workspace: Workspace, model: str) -> tuple[str | None, list[GateDecision]]:
    """Return a model's validation and the decisions of its actor's gates: what a release carries.

    Raises:
        Refused: there are gates, and it was not validated or did not pass; nothing was changed.
    """
    manifest = workspace.objects.read(model, Model)
    actor = manifest.actor
    gates = policy_of(workspace, actor).gates
    name = newest_validation(workspace, model)
    if not gates:
        return name, []
    if name is None:
        raise Refused(
            f"the policy of {actor} has gates and model {model[:12]} was not validated",
            then=f"run: greenroom validate {model[:12]}",
        )
    champion = None
    on_stage = workspace.log.ref(live_ref(actor))
    if on_stage is not None and any(gate.against == "champion" for gate in gates):
        rival = workspace.objects.read(on_stage, ReleaseManifest).parents.model
        if rival != model:
            rival_validation = newest_validation(workspace, rival)
            if rival_validation is None:
                raise Refused(
                    f"the model on stage, {rival[:12]}, was not validated",
                    then=f"run: greenroom validate {rival[:12]}",
                )
            champion = workspace.objects.read(rival_validation, Validation)
    decisions = evaluate_gates(gates, workspace.objects.read(name, Validation), champion)
    failed = [d for d in decisions if not d.passed]
    if failed:
        reasons = "; ".join(f"{d.metric}: {d.why}" for d in failed)
        raise Refused(
            f"model {model[:12]} does not pass {len(failed)} of {len(gates)} gates: {reasons}"
        )
    return name, decisions


def evaluate_gates(
    gates: Sequence[Gate], validation: Validation, champion: Validation | None
) -> list[GateDecision]:
    """Return each gate's decision: whether it passed, the gain's interval, and the reason.

    Args:
        gates: of :func:`read_gates`.
        validation: of the model that wants to go on.
        champion: of the one on stage, judged on the same takes; None where nobody is.
    """
    return [_judged(gate, validation, champion) for gate in gates]


def _judged(gate: Gate, validation: Validation, champion: Validation | None) -> GateDecision:
    task, _, metric = gate.metric.partition(".")
    ours = read_stats(validation).get(task, {}).get(metric)
    if not ours or not sum(t.weight for t in ours.values()) > 0:
        hint = "; run: greenroom validate MODEL --free-run 10" if task == FREE_RUN else ""
        return _decide(gate, passed=False, why=f"{gate.metric} was not measured" + hint)
    rival = "champion" if gate.against == "champion" else FLOOR[task]
    if gate.against == "champion":
        if champion is None:
            return _decide(gate, passed=True, why="there is no champion yet")
        theirs = read_stats(champion).get(task, {}).get(metric, {})
        missing = sorted(set(ours) ^ set(theirs))
        if missing:
            why = f"the champion was judged on other takes; {len(missing)} differ"
            return _decide(gate, passed=False, why=why)
        ours = {
            take: SufficientStats(
                t.kind, {**t.sums, "champion": theirs[take].sums["model"]}, t.weight
            )
            for take, t in ours.items()
        }
    bounds = _gain_bounds(gate, ours, validation, rival)
    if bounds is None:
        why = (
            f"the takes are not in groups by {gate.worst}: label them when they are ingested, "
            "two values at least"
        )
        return _decide(gate, passed=False, why=why)
    low, high = bounds
    takes = list(ours.values())
    mean, other = aggregate(takes, "model"), aggregate(takes, rival)
    passed = math.isfinite(low) and low > gate.margin
    why = (
        f"{mean:.3g} against {rival}'s {other:.3g} on {len(takes)} takes; "
        f"gain {low:.3g} to {high:.3g}, {'above' if passed else 'not above'} {gate.margin:g}"
    )
    decision = _decide(gate, passed=passed, why=why)
    return msgspec.structs.replace(
        decision,
        model=_finite(mean),
        rival=_finite(other),
        gain=None if not math.isfinite(low + high) else (round(low, 6), round(high, 6)),
        takes=len(takes),
    )


def _finite(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None


def _decide(gate: Gate, *, passed: bool, why: str) -> GateDecision:
    fields = {name: getattr(gate, name) for name in gate.__struct_fields__}
    return GateDecision(**fields, passed=passed, why=why)


def _gain_bounds(
    gate: Gate, ours: Mapping[str, SufficientStats], validation: Validation, rival: str
) -> tuple[float, float] | None:
    """Return the interval of the gain that a gate asks for; None where its groups are missing."""
    takes = list(ours.values())
    # One bound of a two-sided interval of twice the error is the one-sided bound.
    level = 1 - 2 * (1 - gate.level)
    if isinstance(gate.worst, str):
        groups = group_stats(ours, validation.labels).get(gate.worst)
        if not groups:
            return None
        ends = [interval(gain(rows, "model", rival), level) for rows in groups.values()]
        # A group that says nothing fails the gate, wherever it stands.
        return min(ends, key=lambda pair: pair[0] if math.isfinite(pair[0]) else -math.inf)
    if gate.worst:
        return _worst(takes, rival)
    return interval(gain(takes, "model", rival), level)


def _worst(takes: Sequence[SufficientStats], rival: str) -> tuple[float, float]:
    """Return the smallest and the largest gain of single takes."""
    sign = 1 if takes[0].kind == "skill" else -1
    each = np.asarray([sign * (aggregate([t], "model") - aggregate([t], rival)) for t in takes])
    return float(each.min()), float(each.max())
