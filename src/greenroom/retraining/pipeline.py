"""From a request to a release on stage: steps that each can be done again, and a reason where one stops.

Each step takes what the steps before found (hashes and figures, as JSON) and returns its own. What a
step makes is content-addressed, so that doing it twice makes the same; who remembers which are done is
`greenroom.retraining.workflow`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

from greenroom.adaptation.face_refit import carry_face_adaptation
from greenroom.consent.gate import initial_weights_refusal, refusal_reason
from greenroom.contracts import ModelShape
from greenroom.datasets.build import build_dataset
from greenroom.errors import BadInput, GreenroomError, MissingExtra, Refused
from greenroom.metrics.sequences import WORSE
from greenroom.registry import auto_approval
from greenroom.registry.policy import policy_of
from greenroom.registry.promote import end_canary, live_ref, promote, start_canary
from greenroom.registry.release import PerformerSpec, load_release, make_release
from greenroom.rehearsal.sandbox import compare
from greenroom.rehearsal.shadow import rows_behind, shadow
from greenroom.retraining.canary import CanaryInterrupted, watch_canary
from greenroom.retraining.requests import (
    FAILED,
    HELD,
    NOTHING_NEW,
    PROMOTED,
    REJECTED,
    Run,
    record_outcome,
    rules_of,
)
from greenroom.serving.onnx_backend import OnnxBackend
from greenroom.store.workspace import Workspace
from greenroom.validation.evaluator import validate
from greenroom.validation.gates import evaluate_gates

StepResults = dict[str, Any]
Progress = Callable[[int, int], None]
SHADOW_TICKS = 345
"""Of a shadow: 1.5 s to warm, ten to judge."""
_BY_HAND = "it waits: greenroom promote {} {}"
BY = "greenroom"
"""Who a run signs its entries of the log with; who asked for it stands in the request."""


class PipelineStopped(GreenroomError):
    """A run ends here, for a reason that is nobody's fault.

    Args:
        reason: the sentence.
        outcome: how it ends.
    """

    def __init__(self, reason: str, outcome: str = REJECTED) -> None:
        """Keep both."""
        super().__init__(reason)
        self.outcome = outcome


class Work(Protocol):
    """What takes long: training, judging, watching. The pipeline decides; this does."""

    def train(
        self, workspace: Workspace, run: Run, results: StepResults, progress: Progress
    ) -> str:
        """Return the hash of a model trained on the found dataset, begun with the champion."""

    def update(self, workspace: Workspace, run: Run, results: StepResults) -> str:
        """Return the hash of the champion's model after a small step towards the found takes."""

    def validate(self, workspace: Workspace, model: str, progress: Progress) -> str:
        """Return the hash of a validation on the model's own test split."""

    def compare(
        self, workspace: Workspace, challenger: str, champion: str, progress: Progress
    ) -> str:
        """Return the hash of a sandbox's comparison on what neither was trained on."""

    def shadow(self, workspace: Workspace, model: str) -> Mapping[str, Any]:
        """Return how the model did unseen; `objection` says why it may not go on stage."""

    def trial(
        self,
        workspace: Workspace,
        actor: str,
        release: str,
        seconds: float,
        begin: Callable[[], None],
    ) -> str | None:
        """Let the release come on stage by `begin`, watch it; return why it has to leave, or "".

        None where no show is on.
        """


class Workshop:
    """The work as it is done on this machine."""

    def train(
        self, workspace: Workspace, run: Run, results: StepResults, progress: Progress
    ) -> str:
        """Train with torch; see :class:`Work`."""
        try:
            from greenroom.networks.presets import preset_of
            from greenroom.training.recipe import Recipe
            from greenroom.training.train import TrainOptions, train
        except ModuleNotFoundError as error:
            raise MissingExtra("greenroom retrain", "train,loop") from error
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
        from greenroom.adaptation.online_update import online_update_subprocess
        from greenroom.adaptation.replay_reservoir import build_reservoir
        from greenroom.adaptation.update_step import UpdateBounds

        start = str(results["pull"]["start"])
        if not start:
            raise PipelineStopped("there is no champion with weights to begin with")
        model = workspace.objects.manifest(start, "model")
        past = build_reservoir(workspace, model["parents"]["dataset"], workspace.today())
        replay = past.save(workspace, run.actor, BY)
        signed = policy_of(workspace, run.actor).get("auto_approval", {}).get("bounds", {})
        bounds = UpdateBounds(**{name: most for name, most in signed.items() if name != "in_a_row"})
        return online_update_subprocess(
            workspace.home, start, results["pull"]["takes"], replay, BY, bounds=bounds
        )

    def validate(self, workspace: Workspace, model: str, progress: Progress) -> str:
        """Judge on the test split; see :class:`Work`."""
        return validate(workspace, model, _backend(workspace, model), BY, progress=progress)

    def compare(
        self, workspace: Workspace, challenger: str, champion: str, progress: Progress
    ) -> str:
        """Compare in the sandbox; see :class:`Work`."""
        return compare(workspace, challenger, champion, BY, progress=progress)

    def shadow(self, workspace: Workspace, model: str) -> Mapping[str, Any]:
        """Follow the show that is on, or the last one; see :class:`Work`."""
        manifest = workspace.objects.manifest(model, "model")
        rows, live = rows_behind(workspace, manifest["actor"], SHADOW_TICKS)
        result = shadow(
            rows, live, PerformerSpec.of(workspace, manifest), _backend(workspace, model)
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
            return watch_canary(workspace, actor, release, seconds, begin)
        except CanaryInterrupted as error:
            raise PipelineStopped(
                f"{error.what}; {_BY_HAND.format(actor, release[:12])}", HELD
            ) from error


def _backend(workspace: Workspace, model: str) -> OnnxBackend:
    manifest = workspace.objects.manifest(model, "model")
    graph = workspace.objects.get(manifest["blobs"]["graph"])
    return OnnxBackend(graph, ModelShape.load(manifest["shape"]))


class RetrainingPipeline:
    """The steps of one run.

    Args:
        workspace: where everything is.
        run: the request.
        work: does what takes long.
        tell: called with a step's name, and how far it is (done, total).
    """

    def __init__(
        self,
        workspace: Workspace,
        run: Run,
        work: Work | None = None,
        tell: Callable[[str, int, int], None] = lambda step, done, total: None,
    ) -> None:
        """Keep them."""
        self.workspace, self.run, self.tell = workspace, run, tell
        self.work: Work = work or Workshop()
        self.online = bool(run.job.get("online"))
        self.steps: dict[str, Callable[[StepResults], StepResults]] = {
            "pull": self.pull,
            "train": self.update,
            "shadow": self.shadow,
            "approve": self.approve,
            "canary": self.canary,
            "promote": self.promote,
        }
        if self.online:
            return
        self.steps = {
            "pull": self.pull,
            "build": self.build,
            "train": self.train,
            "validate": self.validate,
            "sandbox": self.sandbox,
            "shadow": self.shadow,
            "approve": self.approve,
            "canary": self.canary,
            "promote": self.promote,
        }

    def _progress(self, step: str) -> Progress:
        return lambda done, total: self.tell(step, done, total)

    def do(self, step: str, results: StepResults) -> StepResults:
        """Do one step; return {"found": what it found} or {"stop": [how the run ends, why]}.

        Args:
            step: one of `steps`.
            results: what each step before it found, by name.
        """
        self.tell(step, 0, 1)
        try:
            out = self.steps[step](results)
        except PipelineStopped as stop:
            return {"stop": [stop.outcome, stop.what]}
        except Refused as error:
            return {"stop": [REJECTED, str(error)]}
        except Exception as error:  # whatever a library raises ends this run, and not the next
            return {"stop": [FAILED, str(error) or type(error).__name__]}
        self.tell(step, 1, 1)
        return {"found": out}

    def pull(self, results: StepResults) -> StepResults:
        """Look for takes that the champion has not learned from and that may be learned from."""
        actor, day = self.run.actor, self.workspace.today()
        champion = self.workspace.log.ref(live_ref(actor))
        start, learned_takes = "", set[str]()
        if champion is not None:
            start = self.workspace.objects.manifest(champion, "release")["parents"]["model"]
            model = self.workspace.objects.manifest(start, "model")
            dataset = self.workspace.objects.manifest(model["parents"]["dataset"], "dataset")
            learned_takes = set(dataset["parents"]["takes"])
            if "weights" not in model["blobs"] or initial_weights_refusal(model, day):
                start = ""  # whoever withdrew is not in what is made from now on
            if self.online:  # what earlier updates saw is not news; a training takes it all
                learned_takes |= _updated_with(self.workspace, model)
        fresh = []
        for row in self.workspace.catalog.find("take", actor=actor):
            manifest = self.workspace.objects.manifest(row.object, "take")
            if self.online and "body" not in manifest["blobs"]:
                continue  # an update is of bodies
            if row.object not in learned_takes and not refusal_reason(manifest, "train", day):
                fresh.append(row.object)
        if not fresh:
            raise PipelineStopped(NOTHING_NEW)
        return {"takes": fresh, "champion": champion or "", "start": start}

    def build(self, results: StepResults) -> StepResults:
        """Freeze the dataset: what the champion knows stays in its split."""
        like = None
        champion = results["pull"]["champion"]
        if champion:
            model = self.workspace.objects.manifest(champion, "release")["parents"]["model"]
            dataset = self.workspace.objects.manifest(model, "model")["parents"]["dataset"]
            like = self.workspace.objects.manifest(dataset, "dataset")
        try:
            built = build_dataset(
                self.workspace,
                self.run.name,
                self.run.actor,
                BY,
                self.workspace.today(),
                like=like,
            )
        except BadInput as error:
            raise PipelineStopped(str(error)) from error
        if like is not None and set(built.takes) <= set(like["parents"]["takes"]):
            raise PipelineStopped(
                NOTHING_NEW
            )  # what came is of no use: too short, there twice, no body
        return {"dataset": built.dataset, "takes": len(built.takes)}

    def train(self, results: StepResults) -> StepResults:
        """Train, beginning with what the champion has learned."""
        model = self.work.train(self.workspace, self.run, results, self._progress("train"))
        return {"model": model}

    def update(self, results: StepResults) -> StepResults:
        """Move the champion's model a little towards what is new, within bounds."""
        return {"model": self.work.update(self.workspace, self.run, results)}

    def validate(self, results: StepResults) -> StepResults:
        """Judge the challenger on its test split, beside the floors."""
        progress = self._progress("validate")
        return {
            "validation": self.work.validate(self.workspace, results["train"]["model"], progress)
        }

    def sandbox(self, results: StepResults) -> StepResults:
        """Compare with the champion on what neither was trained on, and judge the gates."""
        workspace, champion = self.workspace, results["pull"]["champion"]
        judged = workspace.objects.manifest(results["validate"]["validation"], "validation")
        rival, out = None, {"sandbox": "", "worse": []}
        if champion:
            name = self.work.compare(
                workspace, results["train"]["model"], champion, self._progress("sandbox")
            )
            sandbox = workspace.objects.manifest(name, "sandbox")
            ours, theirs = sandbox["parents"]["validations"]
            judged = workspace.objects.manifest(ours, "validation")
            rival = workspace.objects.manifest(theirs, "validation")
            out = {"sandbox": name, "worse": _worse(sandbox)}
        gates = policy_of(workspace, self.run.actor)["gates"]
        decisions = evaluate_gates(gates, judged, rival)
        failed = [f"{d['metric']}: {d['why']}" for d in decisions if not d["passed"]]
        if failed:
            raise PipelineStopped(
                f"{len(failed)} of {len(gates)} gates failed: {'; '.join(failed)}"
            )
        if out["worse"]:
            raise PipelineStopped(f"it is worse than the champion at {', '.join(out['worse'])}")
        return {**out, "decisions": decisions}

    def shadow(self, results: StepResults) -> StepResults:
        """Let it perform unseen."""
        try:
            report = self.work.shadow(self.workspace, results["train"]["model"])
        except BadInput as error:  # nothing was performed yet that it could follow
            return {"left_out": str(error)}
        if report["objection"]:
            raise PipelineStopped(f"unseen beside the show: {report['objection']}")
        return dict(report)

    def approve(self, results: StepResults) -> StepResults:
        """Make a release, and approve it automatically."""
        release = make_release(
            self.workspace,
            results["train"]["model"],
            BY,
            results["validate"]["validation"] if "validate" in results else None,
            results["sandbox"]["decisions"] if "sandbox" in results else (),
        )
        kind = auto_approval.ONLINE if self.online else auto_approval.RETRAIN
        try:
            load_release(self.workspace, release)  # approved already, before a crash
        except Refused:
            try:
                auto_approval.auto_approve(self.workspace, release, kind, BY)
            except Refused as error:
                model = results["train"]["model"][:12]
                raise PipelineStopped(
                    f"{error.what}; it waits: greenroom approve {model} --by NAME", HELD
                ) from error
        return {"release": release}

    def canary(self, results: StepResults) -> StepResults:
        """Let it perform for a while under guard; the champion is back at once where it has to leave."""
        release, actor = results["approve"]["release"], self.run.actor
        champion = results["pull"]["champion"]
        if not champion:
            return {"left_out": "there is no champion to go back to"}
        self._require_champion(champion)
        seconds = float(self.run.job.get("canary_s", rules_of(self.workspace, actor).canary_s))
        begin = partial(start_canary, self.workspace, actor, release, BY)
        end_canary(self.workspace, actor, BY)  # one that a crash cut off begins anew
        reason = self.work.trial(self.workspace, actor, release, seconds, begin)
        if reason is None and self.online:
            by_hand = _BY_HAND.format(actor, release[:12])
            raise PipelineStopped(f"no show is on in which it could be tried; {by_hand}", HELD)
        if reason is None:
            return {"left_out": "no show is on; it was compared on what was kept"}
        if reason:
            end_canary(self.workspace, actor, BY)
            raise PipelineStopped(f"on trial: {reason}")
        return {"seconds": seconds}

    def _require_champion(self, champion: str) -> None:
        """Stop where somebody put another release on stage meanwhile."""
        now = self.workspace.log.ref(live_ref(self.run.actor)) or ""
        if now != champion:
            raise PipelineStopped(
                f"release {now[:12]} came on stage meanwhile; it was compared with another"
            )

    def promote(self, results: StepResults) -> StepResults:
        """Make it the champion."""
        release, actor = results["approve"]["release"], self.run.actor
        live_release = self.workspace.log.ref(live_ref(actor))
        if live_release != release:  # else it was promoted before a crash
            champion = results["pull"]["champion"]
            self._require_champion(champion)
            promote(self.workspace, actor, release, BY, over=champion)
        return {"release": release}

    def close(self, outcome: str, reason: str, release: str = "") -> None:
        """Record how the run ended."""
        if outcome != PROMOTED:
            end_canary(self.workspace, self.run.actor, BY)  # none is left behind
        record_outcome(self.workspace.log, self.run.name, outcome, reason, BY, release)


def _updated_with(workspace: Workspace, model: Mapping[str, Any]) -> set[str]:
    """Return the takes of every online update since the training that a model comes from."""
    takes: set[str] = set()
    while "update" in model:
        takes |= set(model["parents"]["takes"])
        model = workspace.objects.manifest(model["parents"]["start"], "model")
    return takes


def _worse(sandbox: Mapping[str, Any]) -> list[str]:
    """Return the metrics at which the challenger is told apart from the champion, for the worse."""
    return [
        f"{task}.{metric}"
        for task, metrics in sandbox["figures"].items()
        for metric, row in metrics.items()
        if row["verdict"] == WORSE
    ]
