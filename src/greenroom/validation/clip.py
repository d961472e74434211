"""Show what a model makes of a take that loses one limb after the other, beside the truth."""

from __future__ import annotations

import datetime

import numpy as np

from greenroom.consent.gate import refusal
from greenroom.contracts import Backend
from greenroom.datasets.build import bodies_of, states_of
from greenroom.frames import BONE, LIMBS, Body, Floats
from greenroom.render.clips import MOST, clip_of
from greenroom.rotations import from_six
from greenroom.store.workspace import Workspace
from greenroom.validation.judge import GAP
from greenroom.validation.subject import Subject, limbs_of


def clip_for(workspace: Workspace, model: str, backend: Backend) -> bytes | None:
    """Return a clip of the longest take of a model's test split, or None where none may be shown.

    A report leaves the house, so a take is shown only if its rights cover `export` today.

    Args:
        workspace: where the model is.
        model: its hash.
        backend: runs its graph.
    """
    manifest = workspace.objects.manifest(model, "model")
    subject = Subject.of(manifest, backend)
    dataset = workspace.objects.manifest(manifest["parents"]["dataset"], "dataset")
    day = datetime.datetime.now(datetime.UTC).date()
    bodies = [
        body
        for take, body in bodies_of(workspace, dataset, "test").items()
        if not refusal(workspace.objects.manifest(take, "take"), "export", day)
    ]
    for body in sorted(bodies, key=len, reverse=True):
        shown = filled(subject, body)
        if shown is not None:
            return clip_of(*shown)
    return None


def filled(subject: Subject, body: Body) -> tuple[Body, Body, Floats] | None:
    """Return a stretch of a body, the same with its lost limbs made up, and what was given (T, 55).

    Half a second is captured, half a second lacks a limb, then the next limb. What was given is 0 for a
    lost limb's bones, 1 for all others, also those that the recording never had. None where the body is
    too short or lacks a joint of the model's.

    Args:
        subject: the model.
        body: of a second at least.
    """
    spec, history = subject.spec, subject.shape.history
    states = states_of(spec, body)[: history + MOST]
    ticks = len(states) - history
    if ticks < 2 * GAP or not np.isfinite(states).all():
        return None
    limbs = limbs_of(spec)
    lost = np.zeros((ticks, len(spec.joints)), dtype=bool)
    for n, start in enumerate(range(GAP, ticks, 2 * GAP)):
        lost[start : start + GAP] = limbs[n % len(limbs)]
    said = subject.perform(states, (~lost).astype(np.float32))
    turns = from_six(said[:, : 6 * len(spec.joints)].reshape(ticks, -1, 6))
    # State i is of tick i + 1: the first tick of a take has no velocity.
    part = slice(history + 1, history + 1 + ticks)
    truth = Body(body.skeleton, body.root[part], body.rotations[part], body.validity[part])
    rotations, given = truth.rotations.copy(), np.ones_like(truth.validity)
    for j, name in enumerate(spec.joints):
        rotations[lost[:, j], BONE[name]] = turns[lost[:, j], j]
        # What the model has no joint for, such as a hand, goes with the limb that it is of.
        limb = next((limb for limb in LIMBS.values() if name in limb), (name,))
        for bone in limb:
            given[lost[:, j], BONE[bone]] = 0
    return truth, Body(truth.skeleton, truth.root, rotations, truth.validity), given
