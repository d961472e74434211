"""The long steps of a retraining run, done on this machine."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

from greenroom.adaptation.face_refit import carry_face_adaptation
from greenroom.extras import require
from greenroom.manifests import Model
from greenroom.registry.policy import policy_of
from greenroom.registry.release import PerformerSpec
from greenroom.rehearsal.sandbox import compare
from greenroom.rehearsal.shadow import rows_behind, shadow
from greenroom.retraining.canary import CanaryInterrupted, watch_canary
from greenroom.retraining.requests import HELD, Run, rules_of
from greenroom.retraining.work import BY, PipelineStopped, Progress, StepResults
from greenroom.serving.onnx_backend import open_model
from greenroom.store.workspace import Workspace
from greenroom.validation.evaluator import validate

SHADOW_TICKS = 345
"""Ticks of a shadow: 1.5 s to warm up, ten to judge."""
BY_HAND = "it waits: greenroom promote {} {}"


class Workshop:
    """The work as it is done on this machine."""

    def train(
        self, workspace: Workspace, run: Run, results: StepResults, progress: Progress
    ) -> str:
        """Train with torch; see :class:`Work`."""
        require("lightning", "train,loop", "greenroom retrain")
        from greenroom.networks.presets import preset_of
        from greenroom.training.recipe import Recipe
        from greenroom.training.train import TrainOptions, train

        rules = rules_of(workspace, run.actor)
        settings = {"preset": rules.preset, "steps": rules.steps, **run.job}
        preset = str(settings["preset"])
        hyperparameters = {
            key: settings[key] for key in ("rollout", "batch", "seed") if key in settings
        }
        recipe = Recipe(steps=int(settings["steps"]) or preset_of(preset).steps, **hyperparameters)
        start = str(results["pull"]["start"])

        def show(step: int, total: int, figures: dict[str, float]) -> None:
            progress(step, total)

        def warn(what: str) -> None:
            print(what, file=sys.stderr, flush=True)

        dataset = results["build"]["dataset"]
        model = train(
            workspace,
            dataset,
            BY,
            preset,
            recipe=recipe,
            options=TrainOptions(progress=show, warn=warn, start=start),
        )
        return carry_face_adaptation(workspace, start, model, BY) if start else model

    def update(self, workspace: Workspace, run: Run, results: StepResults) -> str:
        """Move the last layers a little, within the bounds of automatic approval; see :class:`Work`."""
        from greenroom.adaptation.online_update import UpdateRequest, online_update_subprocess
        from greenroom.adaptation.replay_reservoir import build_reservoir
        from greenroom.adaptation.update_step import UpdateBounds

        start = str(results["pull"]["start"])
        if not start:
            raise PipelineStopped("there is no champion with weights to begin with")
        model = workspace.objects.read(start, Model)
        past = build_reservoir(workspace, model.parents.dataset, workspace.today())
        replay = past.save(workspace, run.actor, BY)
        approves = policy_of(workspace, run.actor).auto_approval
        signed = approves.bounds if approves is not None else {}
        bounds = UpdateBounds(**{name: most for name, most in signed.items() if name != "in_a_row"})
        request = UpdateRequest(start, results["pull"]["takes"], replay, bounds=bounds)
        return online_update_subprocess(workspace.home, request, BY)

    def validate(self, workspace: Workspace, model: str, progress: Progress) -> str:
        """Judge on the test split; see :class:`Work`."""
        backend = open_model(workspace, workspace.objects.read(model, Model))
        return validate(workspace, model, backend, BY, progress=progress)

    def compare(
        self, workspace: Workspace, challenger: str, champion: str, progress: Progress
    ) -> str:
        """Compare in the sandbox; see :class:`Work`."""
        return compare(workspace, challenger, champion, BY, progress=progress)

    def shadow(self, workspace: Workspace, model: str) -> Mapping[str, Any]:
        """Follow the show that is on, or the last one; see :class:`Work`."""
        manifest = workspace.objects.read(model, Model)
        rows, live = rows_behind(workspace, manifest.actor, SHADOW_TICKS)
        result = shadow(
            rows, live, PerformerSpec.of(workspace, manifest), open_model(workspace, manifest)
        )
        return {**result.json(), "objection": result.objection()}

    def trial(
        self,
        workspace: Workspace,
        actor: str,
        release: str,
        seconds: float,
        begin: Callable[[], None],
    ) -> str | None:
        """Watch the show that is on; see :class:`Work`."""
        try:
            return watch_canary(workspace, actor, release, seconds, begin=begin)
        except CanaryInterrupted as error:
            raise PipelineStopped(
                f"{error.what}; {BY_HAND.format(actor, release[:12])}", HELD
            ) from error
