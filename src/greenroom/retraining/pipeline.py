"""From a request to a release on stage: steps that each can be done again, and a reason where one stops.

Each step takes what the steps before found (hashes and figures, as JSON) and returns its own. What a
step makes is content-addressed, so that doing it twice makes the same; who remembers which are done is
`greenroom.retraining.workflow`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import msgspec

from greenroom.consent.gate import initial_weights_refusal, refusal_reason
from greenroom.datasets.build import build_dataset
from greenroom.errors import BadInput, Refused
from greenroom.manifests import (
    Dataset,
    GateDecision,
    Model,
    ReleaseManifest,
    Sandbox,
    Take,
    Validation,
    to_json,
)
from greenroom.metrics.sequences import WORSE
from greenroom.registry import auto_approval
from greenroom.registry.policy import policy_of
from greenroom.registry.promote import end_canary, live_ref, promote, start_canary
from greenroom.registry.release import load_release, make_release
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
from greenroom.retraining.work import BY, PipelineStopped, Progress, StepResults, Work
from greenroom.retraining.workshop import BY_HAND, Workshop
from greenroom.store.workspace import Workspace
from greenroom.validation.gates import evaluate_gates


class RetrainingPipeline:
    """The steps of one run.

    Args:
        workspace: where everything is.
        run: the request.
        work: the long steps; None for those of this machine.
        tell: called with a step's name and its progress (done, total).
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
            start = self.workspace.objects.read(champion, ReleaseManifest).parents.model
            model = self.workspace.objects.read(start, Model)
            dataset = self.workspace.objects.read(model.parents.dataset, Dataset)
            learned_takes = set(dataset.parents.takes)
            if not model.blobs.weights or initial_weights_refusal(model, day):
                start = ""  # whoever withdrew is not in what is made from now on
            if self.online:  # what earlier updates saw is not news; a training takes it all
                learned_takes |= _updated_with(self.workspace, model)
        fresh = []
        for row in self.workspace.catalog.find("take", actor=actor):
            manifest = self.workspace.objects.read(row.object, Take)
            if self.online and "body" not in manifest.media:
                continue  # an update is of bodies
            if row.object not in learned_takes and not refusal_reason(
                self.workspace, row.object, "train", day
            ):
                fresh.append(row.object)
        if not fresh:
            raise PipelineStopped(NOTHING_NEW)
        return {"takes": fresh, "champion": champion or "", "start": start}

    def build(self, results: StepResults) -> StepResults:
        """Freeze the dataset: what the champion knows stays in its split."""
        like = None
        champion = results["pull"]["champion"]
        if champion:
            model = self.workspace.objects.read(champion, ReleaseManifest).parents.model
            dataset = self.workspace.objects.read(model, Model).parents.dataset
            like = self.workspace.objects.read(dataset, Dataset)
        try:
            built = build_dataset(
                self.workspace,
                self.run.name,
                self.run.actor,
                BY,
                day=self.workspace.today(),
                like=like,
            )
        except BadInput as error:
            raise PipelineStopped(str(error)) from error
        if like is not None and set(built.takes) <= set(like.parents.takes):
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
        judged = workspace.objects.read(results["validate"]["validation"], Validation)
        rival, out = None, {"sandbox": "", "worse": []}
        if champion:
            name = self.work.compare(
                workspace, results["train"]["model"], champion, self._progress("sandbox")
            )
            sandbox = workspace.objects.read(name, Sandbox)
            ours, theirs = sandbox.parents.validations
            judged = workspace.objects.read(ours, Validation)
            rival = workspace.objects.read(theirs, Validation)
            out = {"sandbox": name, "worse": _worse(sandbox)}
        gates = policy_of(workspace, self.run.actor).gates
        decisions = evaluate_gates(gates, judged, rival)
        failed = [f"{d.metric}: {d.why}" for d in decisions if not d.passed]
        if failed:
            raise PipelineStopped(
                f"{len(failed)} of {len(gates)} gates failed: {'; '.join(failed)}"
            )
        if out["worse"]:
            raise PipelineStopped(f"it is worse than the champion at {', '.join(out['worse'])}")
        return {**out, "decisions": [to_json(decision) for decision in decisions]}

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
        """Make a release, and approve it by the standing policy."""
        release = make_release(
            self.workspace,
            results["train"]["model"],
            BY,
            validation=results["validate"]["validation"] if "validate" in results else None,
            decisions=_decisions(results),
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
        begin = partial(start_canary, self.workspace, actor, release, by=BY)
        end_canary(self.workspace, actor, BY)  # one that a crash cut off begins anew
        reason = self.work.trial(self.workspace, actor, release, seconds, begin=begin)
        if reason is None and self.online:
            by_hand = BY_HAND.format(actor, release[:12])
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
        log, run = self.workspace.log, self.run.name
        record_outcome(log, run, outcome, reason, by=BY, release=release)


def _decisions(results: StepResults) -> list[GateDecision]:
    """Return the decisions of gates that a run's results hold as JSON."""
    decisions = results.get("sandbox", {}).get("decisions", [])
    return msgspec.convert(decisions, list[GateDecision])


def _updated_with(workspace: Workspace, model: Model) -> set[str]:
    """Return the takes of every online update since the training that a model comes from."""
    takes: set[str] = set()
    while model.update is not None:
        takes |= set(model.parents.takes)
        model = workspace.objects.read(model.parents.start, Model)
    return takes


def _worse(sandbox: Sandbox) -> list[str]:
    """Return the metrics at which the challenger is told apart from the champion, for the worse."""
    return [
        f"{task}.{metric}"
        for task, metrics in sandbox.figures.items()
        for metric, row in metrics.items()
        if row.verdict == WORSE
    ]
