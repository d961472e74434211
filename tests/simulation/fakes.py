"""What stands in for the long work in tests and in the simulator: takes and models made in no time.

Training is a fake here, and so are judging and watching: months of trainings cannot be had in minutes.
What a fake makes are real objects, in the shape that the pipeline, the gates and the registry read; only
how good a model is was drawn from a seed and not from anything that it learned.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import numpy as np

from greenroom.adaptation.replay_reservoir import build_reservoir
from greenroom.capture.ingest import store_take
from greenroom.capture.readers import read_recording
from greenroom.consent.gate import merge_rights, require_rights_of_all
from greenroom.errors import BadInput, Refused
from greenroom.manifests import (
    Dataset,
    Gate,
    Model,
    ModelParents,
    PairFigure,
    ReleaseManifest,
    Rights,
    Sandbox,
    SandboxParents,
    TakeStats,
    Update,
)
from greenroom.metrics.sequences import WORSE
from greenroom.registry.promote import promote
from greenroom.retraining.requests import Run
from greenroom.retraining.work import Progress, StepResults
from greenroom.store.attribution import Attribution
from greenroom.store.workspace import Workspace
from greenroom.validation.sufficient_stats import aggregate_figures, read_stats
from tests import examples
from tests.people import approve

GOOD, WORSE_ONE, UNSEEN, BREAKS, CRASHES = "good", "worse", "unseen", "breaks", "no training"
QUALITIES = (GOOD, WORSE_ONE, UNSEEN, BREAKS, CRASHES)
"""Better than the champion; worse; bad beside the show, unseen; bad on trial; training raises."""
GATE = Gate(metric="infill.limb_deg", against="baseline", margin=0.0, level=0.95)
_SKELETON: dict[str, tuple[str, str]] = {"hips": ("", "0 95 0"), "spine": ("hips", "0 20 0")}
"""Bone → its parent and where it sits on it, in cm."""
_SKELETON["head"] = ("spine", "0 40 0")
for _side, _x in (("left", 1), ("right", -1)):
    _SKELETON |= {
        f"{_side}UpperArm": ("spine", f"{20 * _x} 20 0"),
        f"{_side}LowerArm": (f"{_side}UpperArm", f"{27 * _x} 0 0"),
        f"{_side}Hand": (f"{_side}LowerArm", f"{25 * _x} 0 0"),
        f"{_side}UpperLeg": ("hips", f"{10 * _x} -5 0"),
        f"{_side}LowerLeg": (f"{_side}UpperLeg", "0 -42 0"),
        f"{_side}Foot": (f"{_side}LowerLeg", "0 -41 0"),
    }
_DEGREES = {GOOD: 10.0, WORSE_ONE: 30.0}


def bvh(seed: int, ticks: int = 48) -> bytes:
    """Return a body's short recording; each seed's is another."""
    lines = ["HIERARCHY"]

    def bone(name: str, word: str) -> None:
        lines.extend([f"{word} {name}", "{", f"OFFSET {_SKELETON[name][1]}"])
        place = "6 Xposition Yposition Zposition" if word == "ROOT" else "3"
        lines.append(f"CHANNELS {place} Zrotation Xrotation Yrotation")
        children = [child for child, (parent, _) in _SKELETON.items() if parent == name]
        for child in children:
            bone(child, "JOINT")
        if not children:
            lines.extend(["End Site", "{", "OFFSET 0 10 0", "}"])
        lines.append("}")

    bone("hips", "ROOT")
    lines += ["MOTION", f"Frames: {ticks}", "Frame Time: 0.033333"]
    turns = 20 * np.random.default_rng(seed).random((ticks, 3 * len(_SKELETON)))
    lines += ["0 95 0 " + " ".join(f"{x:.3f}" for x in row) for row in turns]
    return ("\n".join(lines) + "\n").encode()


def take(workspace: Workspace, actor: str, seed: int, rights: Rights | None) -> str:
    """Keep a short take; without rights it is quarantined. Return its hash."""
    recording = read_recording(bvh(seed), f"take-{seed}.bvh")
    attribution = Attribution(actor)
    if rights is not None:
        attribution = Attribution(actor, ("somebody",), (rights,))
    return store_take(workspace, recording, attribution, "stage")


def rights(start: str, expiry: str, *purposes: str) -> Rights:
    """Return a rights record of the participant of every take here."""
    return Rights(
        participant="somebody",
        purposes=sorted(purposes or ("train", "perform")),
        start=start,
        expiry=expiry,
        document_sha256="00" * 32,
    )


def model(workspace: Workspace, dataset: str, note: str) -> str:
    """Publish a model of a dataset that says nothing; another note is another hash."""
    dataset_manifest = workspace.objects.read(dataset, Dataset)
    agreed = merge_rights(workspace, [], dataset_manifest.parents.takes)
    rights = sorted(agreed, key=repr)
    actor = dataset_manifest.actor
    manifest = examples.model(workspace, dataset, note, actor, rights=rights)
    return workspace.publish(manifest, by="simulated")


def debut(workspace: Workspace, actor: str, by: str) -> str:
    """Put a first release on stage, approved by a person; return its hash."""
    agreed = rights("2020-01-01", "2099-01-01")
    names = sorted(take(workspace, actor, _seed(actor, n), agreed) for n in range(3))
    splits = {"train": names[:1], "validation": names[1:2], "test": names[2:]}
    dataset = examples.dataset(names, splits, actor, name="debut")
    model_hash = model(workspace, workspace.publish(dataset, by=by), f"{GOOD} debut of {actor}")
    release = approve(workspace, model_hash, by)
    promote(workspace, actor, release, by)
    return release


def _seed(*words: object) -> int:
    return random.Random(repr(words)).randrange(1 << 32)


class FakeWork:
    """The long work, faked: how good a model is, is drawn from the seed and the run's name.

    Args:
        seed: of the draws.
        weights: of `QUALITIES`.
        at: called with a step's name before and after something was made in it.
        norms: of online updates, of which one is drawn for each.
        on_air: share of trials for which a show is on.
    """

    def __init__(
        self,
        seed: int = 0,
        weights: tuple[float, ...] = (1, 0, 0, 0, 0),
        at: Callable[[str], None] = lambda step: None,
        norms: tuple[float, ...] = (0.1,),
        on_air: float = 1.0,
    ) -> None:
        """Keep them."""
        self.seed, self.weights, self.at = seed, weights, at
        self.norms, self.on_air = norms, on_air

    def _draw(self, *what: str) -> random.Random:
        return random.Random("/".join((str(self.seed), *what)))

    def quality(self, run: str) -> str:
        """Return what a run's model is to be."""
        return self._draw(run).choices(QUALITIES, self.weights)[0]

    def train(
        self, workspace: Workspace, run: Run, results: StepResults, progress: Progress
    ) -> str:
        """Publish a model without training anything."""
        self.at("train")
        quality = self.quality(run.name)
        if quality == CRASHES:
            raise RuntimeError("the training diverged")
        dataset = workspace.objects.read(results["build"]["dataset"], Dataset)
        require_rights_of_all(workspace, dataset.parents.takes, "train")
        model_hash = model(workspace, results["build"]["dataset"], f"{quality}: {run.name}")
        self.at("train")
        return model_hash

    def update(self, workspace: Workspace, run: Run, results: StepResults) -> str:
        """Publish a model as an online update gives it, without moving anything.

        The real one keeps the bounds that were signed; this one may say that it broke them.
        """
        self.at("train")
        quality, start = self.quality(run.name), results["pull"]["start"]
        if quality == CRASHES:
            raise RuntimeError("the step diverged")
        if quality == WORSE_ONE:
            raise Refused("no step within the bounds helps")
        require_rights_of_all(workspace, results["pull"]["takes"], "train")
        before = workspace.objects.read(start, Model)
        past = build_reservoir(workspace, before.parents.dataset, workspace.today())
        evidence = {
            "norm": self._draw(run.name, "norm").choice(self.norms),
            "replay_loss": 0.01,
            "seconds": 20.0,
            "in_a_row": 1 + (before.update.in_a_row if before.update else 0),
        }
        parents = ModelParents(
            dataset=before.parents.dataset,
            start=start,
            takes=results["pull"]["takes"],
            replay=past.save(workspace, run.actor, "simulated"),
        )
        note = f"{quality}: {run.name}"
        updated = examples.noted(before, note, update=Update(**evidence), parents=parents)
        model_hash = workspace.publish(updated, by="simulated")
        self.at("train")
        return model_hash

    def validate(self, workspace: Workspace, model: str, progress: Progress) -> str:
        """Publish a validation on the test split."""
        self.at("validate")
        validation = self._publish_validation(
            workspace, model, _tests(workspace, model), "test split"
        )
        self.at("validate")
        return validation

    def compare(
        self, workspace: Workspace, challenger: str, champion: str, progress: Progress
    ) -> str:
        """Publish a comparison of the shape that a sandbox gives."""
        self.at("sandbox")
        rival = workspace.objects.read(champion, ReleaseManifest).parents.model
        takes = sorted({*_tests(workspace, challenger), *_tests(workspace, rival)})
        both = [
            self._publish_validation(workspace, name, takes, "recordings")
            for name in (challenger, rival)
        ]
        worse = _quality(workspace, challenger) == WORSE_ONE
        figure = PairFigure(
            challenger=1.0,
            champion=1.0,
            better="lower",
            gain=0.0,
            ci=(0.0, 0.0),
            verdict=WORSE if worse else "undecided",
            decided_after=None,
            takes=len(takes),
        )
        out = Sandbox(
            actor=workspace.objects.read(challenger, Model).actor,
            unit="take",
            level=0.95,
            left_out={},
            figures={"infill": {"limb_deg": figure}},
            sequences={},
            parents=SandboxParents(challenger=challenger, champion=rival, validations=both),
        )
        sandbox = workspace.publish(out, by="simulated")
        self.at("sandbox")
        return sandbox

    def shadow(self, workspace: Workspace, model: str) -> Mapping[str, Any]:
        """Say what the model's quality says; without a show there is nothing to follow."""
        self.at("shadow")
        actor = workspace.objects.read(model, Model).actor
        if not workspace.catalog.find("show", actor=actor):
            raise BadInput("there was no show yet")
        bad = _quality(workspace, model) == UNSEEN
        return {"objection": "it says no numbers" if bad else ""}

    def trial(
        self,
        workspace: Workspace,
        actor: str,
        release: str,
        seconds: float,
        begin: Callable[[], None],
    ) -> str | None:
        """Bring the release on stage; say what its quality says."""
        self.at("canary")
        if self._draw(release).random() >= self.on_air:
            return None
        begin()
        self.at("canary")
        model_hash = workspace.objects.read(release, ReleaseManifest).parents.model
        return "it stumbles" if _quality(workspace, model_hash) == BREAKS else ""

    def _publish_validation(
        self, workspace: Workspace, model: str, takes: list[str], on: str
    ) -> str:
        mean = _DEGREES.get(_quality(workspace, model), 12.0)
        rows = {
            name: TakeStats(
                kind="mean",
                sums={"model": mean + n / 10, "gaussian": 20.0 + n / 10, "hold": 25.0},
                weight=1.0,
            )
            for n, name in enumerate(takes)
        }
        actor = workspace.objects.read(model, Model).actor
        stats = {"infill": {"limb_deg": rows}}
        measured = examples.validation(model, actor, on=on, stats=stats)
        figures = aggregate_figures(read_stats(measured))
        out = msgspec.structs.replace(measured, figures=figures)
        return workspace.publish(out, by="simulated")


def _quality(workspace: Workspace, model: str) -> str:
    return str(workspace.objects.read(model, Model).recipe["note"]).partition(":")[0]


def _tests(workspace: Workspace, model: str) -> list[str]:
    dataset = workspace.objects.read(model, Model).parents.dataset
    return list(workspace.objects.read(dataset, Dataset).splits["test"])
