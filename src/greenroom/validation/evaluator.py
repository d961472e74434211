"""Score a model on whole takes beside floors that were fitted on its own training takes.

The model runs as on stage: one tick at a time through its exported graph, on its own past. `infill`: a
limb, or 30 % of the joints, lost for half a second; `forecast`: what it says of the ticks to come, or,
without that output, what it does with everything lost. `face` and `style` are those of its outputs;
`free_run_stats` is minutes with nothing captured. What is kept is sums a take
(`greenroom.metrics.motion.SufficientStats`), so that figures, intervals and gates are made from
one object.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from greenroom.contracts import Backend
from greenroom.datasets.build import pose_states
from greenroom.datasets.gaps import limb_masks
from greenroom.errors import BadInput
from greenroom.frames import Body, Floats
from greenroom.manifests import Dataset, Figure, Model, Validation, ValidationParents
from greenroom.metrics.baselines import Gaussian, Retrieval, Ridge
from greenroom.metrics.motion import SufficientStats, angles_6d
from greenroom.store.workspace import Workspace
from greenroom.validation.eval_model import FREE_RUN, EvalModel
from greenroom.validation.eval_takes import EvalTake, load_eval_takes
from greenroom.validation.face_evaluator import FaceEvaluator
from greenroom.validation.free_run import MINUTE, free_run_stats
from greenroom.validation.style_evaluator import StyleEvaluator
from greenroom.validation.sufficient_stats import StatsByTask, aggregate_figures, stats_manifest

GAP = 15
"""Ticks of a gap, and of the longest forecast: half a second."""
HORIZONS = {"skill_33": 1, "skill_200": 6, "skill_500": 15}
WINDOWS = 40
"""At most so many a take and metric, evenly; with many takes fewer, some 2,000 in all."""

Progress = Callable[[int, int], None]


def eval_windows(take: Floats, history: int, most: int = WINDOWS) -> Iterator[Floats]:
    """Yield windows (K + 15, D), evenly over a take; a short past repeats its first tick."""
    padded = np.concatenate([np.repeat(take[:1], history - 2, axis=0), take])
    last = len(padded) - history - GAP
    if last < 0:
        return
    for start in np.unique(np.linspace(0, last, min(most, last + 1)).astype(int)):
        yield padded[start : start + history + GAP]


class Evaluator:
    """Floors, fitted once, and the figures of one subject.

    Args:
        subject: the model.
        training: states (T, D) of its own training takes.
        tasks: some of "infill" and "forecast".
        most: windows a take.
    """

    def __init__(
        self,
        subject: EvalModel,
        training: Sequence[Floats],
        tasks: Sequence[str],
        most: int = WINDOWS,
    ) -> None:
        """Fit the floors that the tasks need."""
        self.subject, self.tasks, self.most = subject, tasks, most
        width = 6 * subject.shape.joints
        if "infill" in tasks:
            self.gaussian = Gaussian(training, np.repeat(limb_masks(subject.spec), 6, axis=1))
        if "forecast" in tasks:
            self.ridge = Ridge(training, tuple(HORIZONS.values()), width)
            self.retrieval = Retrieval(training, tuple(HORIZONS.values()), width)
            self.mean = np.concatenate(training)[:, :width].mean(axis=0)

    def take(
        self, states: Floats, seed: int, words: Floats | None = None
    ) -> dict[str, dict[str, SufficientStats]]:
        """Return task → metric → tally of one take; a take too short has none.

        Args:
            states: (T, D).
            seed: of the joints that are lost.
            words: what is known of each tick (T, P + X); None for a model that knows none.
        """
        parts = list(eval_windows(states, self.subject.shape.history, self.most))
        out: dict[str, dict[str, SufficientStats]] = {}
        if parts and "infill" in self.tasks:
            random = np.random.default_rng(seed)
            if words is None:
                out["infill"] = self._infill(parts, [None] * len(parts), random)
            else:
                conditioning_windows = list(
                    eval_windows(words, self.subject.shape.history, self.most)
                )
                out["infill"] = self._infill(parts, conditioning_windows, random)
        if parts and "forecast" in self.tasks:
            out["forecast"] = self._forecast(parts)
        return out

    def _infill(
        self,
        parts: list[Floats],
        conditioning: Sequence[Floats | None],
        random: np.random.Generator,
    ) -> dict[str, SufficientStats]:
        names = self.subject.spec.joints
        limbs = limb_masks(self.subject.spec)
        joint_results, limb_results = [], []
        for n, (window, words) in enumerate(zip(parts, conditioning, strict=True)):
            lost = random.random(len(names)) < 0.3
            lost[0] = False
            if lost.any():
                joint_results.append(self._gap(window, lost, words))
            limb_results.append(self._gap(window, limbs[n % len(limbs)], words))
        return {"joints_deg": _sum(joint_results), "limb_deg": _sum(limb_results)}

    def _gap(
        self, window: Floats, lost: NDArray[np.bool_], words: Floats | None
    ) -> tuple[dict[str, float], float]:
        """Return the angles summed over lost joints and ticks, by who filled them, and how many."""
        k, joints = self.subject.shape.history, len(lost)
        valid = np.tile(np.where(lost, 0, 1).astype(np.float32), (GAP, 1))
        truth = window[k:, : 6 * joints]
        six = np.repeat(lost, 6)
        predictions = {
            "model": self.subject.perform(window, valid)[:, : 6 * joints],
            "gaussian": self.gaussian.fill(window[k - 2], window[k - 1], window[k:], six),
            "hold": np.repeat(window[k - 1 : k, : 6 * joints], GAP, axis=0),
        }
        if words is not None:
            conditioned = self.subject.perform(window, valid, words) if words.any() else None
            predictions["conditioned"] = (
                predictions["model"] if conditioned is None else conditioned[:, : 6 * joints]
            )
        sums = {
            source: float(_angles(values, truth)[:, lost].sum())
            for source, values in predictions.items()
        }
        return sums, float(GAP * lost.sum())

    def _forecast(self, parts: list[Floats]) -> dict[str, SufficientStats]:
        shape = self.subject.shape
        k, width = shape.history, 6 * shape.joints
        nothing = np.zeros((GAP, shape.joints), dtype=np.float32)
        results: dict[str, list[tuple[dict[str, float], float]]] = {name: [] for name in HORIZONS}
        direct = set(HORIZONS.values()) <= set(shape.horizons)
        for window in parts:
            past = window[:k]
            if direct:
                model = dict(zip(shape.horizons, self.subject.forecast(past), strict=True))
            else:
                performed = self.subject.perform(window, nothing)[:, :width]
                model = {ahead: performed[ahead - 1] for ahead in HORIZONS.values()}
            for name, ahead in HORIZONS.items():
                truth = window[k + ahead - 1, :width]
                predictions: dict[str, Any] = {
                    "model": model[ahead],
                    "ridge": self.ridge.at(past, ahead),
                    "retrieval": self.retrieval.at(past, ahead),
                    "mean": self.mean,
                    "hold": past[-1, :width],
                }
                sums = {w: float((_angles(v, truth) ** 2).sum()) for w, v in predictions.items()}
                results[name].append((sums, sums["hold"]))
        return {name: _sum(rows, "skill") for name, rows in results.items()}


def _angles(a: Any, b: Any) -> Any:
    return angles_6d(a.reshape(*a.shape[:-1], -1, 6), b.reshape(*b.shape[:-1], -1, 6))


def _sum(
    rows: list[tuple[dict[str, float], float]], kind: Literal["mean", "skill"] = "mean"
) -> SufficientStats:
    sums: dict[str, float] = {}
    for row, _ in rows:
        for source, value in row.items():
            sums[source] = sums.get(source, 0.0) + value
    return SufficientStats(kind, sums, sum(weight for _, weight in rows))


@dataclass(frozen=True)
class EvalScope:
    """What a model is judged on.

    Attributes:
        takes: recordings by name, none of them in its dataset; None for its own test split.
        tasks: some of `TASKS`; None for all that it has an output and there are recordings for.
        minutes: of free running without capture; 0 for none.
    """

    takes: Mapping[str, EvalTake] | None = None
    tasks: Sequence[str] | None = None
    minutes: int = 0


def validate(
    workspace: Workspace,
    model: str,
    backend: Backend,
    by: str,
    scope: EvalScope | None = None,
    progress: Progress = lambda done, total: None,
) -> str:
    """Judge a model; publish sums and figures as an object, and return its hash.

    Args:
        workspace: where the model is.
        model: its hash.
        backend: runs its graph.
        by: name of who judges.
        scope: takes and tasks.
        progress: called with (takes done, takes).

    Raises:
        BadInput: a task that the model has no output for, or no recording that can be judged.
    """
    manifest, scope = workspace.objects.read(model, Model), scope or EvalScope()
    subject = EvalModel.of(manifest, backend)
    _require_heads(subject, scope.tasks or ())
    dataset = workspace.objects.read(manifest.parents.dataset, Dataset)
    on: Literal["test split", "recordings"] = "recordings"
    takes = scope.takes
    if takes is None:
        on, takes = "test split", load_eval_takes(workspace, dataset, "test")
    training = load_eval_takes(workspace, dataset, "train")
    trial = _Trial(subject, training, scope.tasks or subject.tasks, len(takes))
    for done, (name, take) in enumerate(sorted(takes.items())):
        progress(done, len(takes))
        trial.add(name, take, done)
    progress(len(takes), len(takes))
    tallies, extra = trial.results(scope.minutes)
    _require_results(subject, tallies, scope)
    labels = {name: dict(take.labels) for name, take in takes.items()}
    figures = aggregate_figures(tallies, labels)
    for task, metrics in extra.items():
        figures[task] |= metrics
    validation = Validation(
        actor=manifest.actor,
        on=on,
        labels={name: labels[name] for name in sorted(labels) if labels[name]},
        stats=stats_manifest(tallies),
        figures=figures,
        parents=ValidationParents(model=model),
    )
    return workspace.publish(validation, by=by)


def _require_heads(subject: EvalModel, tasks: Sequence[str]) -> None:
    """Check that a model has an output for each task.

    Raises:
        BadInput: it has none for one.
    """
    for task in tasks:
        if task not in subject.tasks:
            then = f"it has {', '.join(subject.tasks)}"
            raise BadInput(f"this model has no head for the task '{task}'", then=then)


def _require_results(subject: EvalModel, tallies: StatsByTask, scope: EvalScope) -> None:
    """Check that each task of a scope was judged on some recording.

    Raises:
        BadInput: one was not, or none.
    """
    if scope.minutes and FREE_RUN not in tallies:
        raise BadInput("there is no body for a free run", then="judge it without --free-run")
    missing = [task for task in scope.tasks or () if not tallies.get(task)]
    if missing or not tallies:
        joints = ", ".join(subject.spec.joints)
        raise BadInput(
            f"there is no recording to judge {' and '.join(missing) or 'it'} on",
            then=f"a body takes {GAP + 2} ticks at least, with all of {joints}; a face needs its voice "
            "and the model's rig; a style its label: --label-pattern",
        )


class _Trial:
    """The judges of one subject, made for the tasks that something can be said of."""

    def __init__(
        self, subject: EvalModel, training: dict[str, EvalTake], tasks: Sequence[str], takes: int
    ) -> None:
        """Fit every floor on the training scenes."""
        self.subject = subject
        self.tallies: StatsByTask = {}
        states = {name: self._states(scene) for name, scene in training.items()}
        state_rows = [rows for rows in states.values() if rows is not None]
        body = [task for task in tasks if task in ("infill", "forecast")]
        most = max(4, min(WINDOWS, 2000 // max(1, takes)))
        self.body = Evaluator(subject, state_rows, body, most) if body else None
        self.face = self.style = None
        self.bodies: list[Body] = []
        if "face" in tasks:
            pairs = [
                (scene.speech, scene.face.weights)
                for scene in training.values()
                if scene.speech is not None
                and scene.face is not None
                and scene.face.channels == subject.channels
            ]
            if pairs:  # else nothing can be said of it, as where no take has a style
                self.face = FaceEvaluator(subject.backend, subject.shape, pairs, subject.channels)
        if "style" in tasks:
            labelled = [
                (rows, training[name].style)
                for name, rows in states.items()
                if rows is not None and training[name].style
            ]
            if any(style in subject.styles for _, style in labelled):
                self.style = StyleEvaluator(
                    subject.backend, subject.shape, subject.styles, labelled
                )

    def _states(self, scene: EvalTake) -> Floats | None:
        """Return a scene's states; None without a body, or with one that lacks a joint."""
        if scene.body is None:
            return None
        states = pose_states(self.subject.spec, scene.body)
        return states if len(states) and np.isfinite(states).all() else None

    def add(self, name: str, scene: EvalTake, seed: int) -> None:
        """Judge one scene on every task that it has something for."""
        states = self._states(scene)
        if states is not None and self.body is not None:
            words = self._words(scene, len(states) + 1)
            words = None if words is None else words[1:]  # a take's first tick has no state
            for task, metrics in self.body.take(states, seed, words).items():
                self._keep(task, name, metrics)
        if states is not None and scene.body is not None:
            self.bodies.append(scene.body)
        if states is not None and self.style is not None and scene.style:
            self.style.add(name, states, scene.style)
        if self.face is not None and scene.face is not None and scene.speech is not None:
            if scene.face.channels == self.subject.channels:
                words = self._words(scene, len(scene.speech))
                metrics = self.face.take(name, scene.speech, scene.face.weights, words)
                self._keep("face", name, metrics)

    def _words(self, scene: EvalTake, ticks: int) -> Floats | None:
        """Return what a scene's labels tell of its ticks (T, P + X); None for a model without words."""
        words = self.subject.words
        return words.rows(scene.conditioning, ticks) if words.columns() else None

    def _keep(self, task: str, name: str, metrics: dict[str, SufficientStats]) -> None:
        for metric, tally in metrics.items():
            self.tallies.setdefault(task, {}).setdefault(metric, {})[name] = tally

    def results(self, minutes: int) -> tuple[StatsByTask, dict[str, dict[str, Figure]]]:
        """Return all tallies, and the figures that are no ratio of sums."""
        extra: dict[str, dict[str, Figure]] = {}
        if self.style is not None and self.style.predictions:
            styles = self.style.tallies()
            if styles.get("accuracy"):
                self.tallies["style"] = styles
                calibration = self.style.calibration()
                extra["style"] = {} if calibration is None else {"ece": calibration}
        if self.face is not None:
            for name, tally in self.face.matched().items():
                self._keep("face", name, {"matched": tally})
        if self.bodies and minutes:
            self.tallies[FREE_RUN] = free_run_stats(self.subject, self.bodies, minutes * MINUTE)
        return self.tallies, extra
