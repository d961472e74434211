"""Minutes with nothing captured: who plays a recording is as lively as it, who freezes is told."""

import numpy as np
import pytest

from greenroom.contracts import ModelShape
from greenroom.datasets.build import load_bodies, pose_states
from greenroom.errors import BadInput
from greenroom.frames import Body, Floats
from greenroom.manifests import Dataset
from greenroom.metrics.motion import aggregate
from greenroom.registry.promote import live_release
from greenroom.registry.release import load_release
from greenroom.serving.onnx_backend import OnnxBackend
from greenroom.store.workspace import Workspace
from greenroom.validation.eval_model import EvalModel
from greenroom.validation.free_run import free_run, free_run_stats, states_to_body

METRICS = {"jerk", "skate", "still", "height", "float", "drift"}


class FakeStates:
    """A backend that says given states one after the other, over and over."""

    def __init__(self, states: Floats) -> None:
        self.states, self.asked = states, 0
        self.noise: list[Floats] = []

    def run(self, inputs: dict[str, Floats]) -> dict[str, Floats]:
        self.noise.append(inputs["noise"][0].copy())
        self.asked += 1
        return {"pose": self.states[None, (self.asked - 1) % len(self.states)]}


@pytest.fixture(scope="module")
def subject(home: Workspace) -> EvalModel:
    release = load_release(home, live_release(home, "mira"))
    return EvalModel.of(release.model, OnnxBackend(release.graph, release.role.shape))


@pytest.fixture(scope="module")
def bodies(home: Workspace) -> list[Body]:
    model = load_release(home, live_release(home, "mira")).model
    dataset = home.objects.read(model.parents.dataset, Dataset)
    return list(load_bodies(home, dataset, "test").values())


def _with(subject: EvalModel, states: Floats) -> EvalModel:
    return EvalModel(FakeStates(states), subject.spec, subject.shape, subject.rest)


def test_the_real_model_lives_and_every_minute_is_told(
    subject: EvalModel, bodies: list[Body]
) -> None:
    found = free_run_stats(subject, bodies, ticks=1830)
    assert set(found) == METRICS
    for minutes in found.values():
        assert list(minutes) == ["minute 1", "minute 2"]  # the last two seconds are a stretch too
        assert all(np.isfinite(list(t.sums.values())).all() for t in minutes.values())
    assert aggregate(list(found["jerk"].values()), "model") > 0


def test_who_plays_a_recording_is_as_it_is(subject: EvalModel, bodies: list[Body]) -> None:
    longest = max(bodies, key=len)
    states = pose_states(subject.spec, longest)
    found = free_run_stats(_with(subject, states), [longest], ticks=len(states))
    jerk, still = (found[metric]["minute 1"].sums for metric in ("jerk", "still"))
    assert jerk["model"] == pytest.approx(jerk["recordings"], rel=0.25)
    assert still["model"] == pytest.approx(still["recordings"], abs=0.1)
    assert found["height"]["minute 1"].sums["model"] == 0
    # Feet that stand are held, so they slide no more than the recording's.
    assert found["skate"]["minute 1"].sums["model"] <= found["skate"]["minute 1"].sums["recordings"]


@pytest.mark.parametrize("shift", [0.1, -0.1])
def test_feet_off_the_floor_are_told(subject: EvalModel, bodies: list[Body], shift: float) -> None:
    stands = states_to_body(subject, np.repeat(subject.rest[None], 90, axis=0), bodies[0])
    other = subject.rest[None].copy()
    other[:, 6 * subject.shape.joints] += shift
    found = free_run_stats(_with(subject, other), [stands], ticks=90)["float"]["minute 1"].sums
    assert found["recordings"] == pytest.approx(0, abs=0.1)
    assert found["model"] == pytest.approx(100, abs=0.1)


def test_who_freezes_is_still(subject: EvalModel, bodies: list[Body]) -> None:
    found = free_run_stats(_with(subject, subject.rest[None]), bodies, ticks=300)
    assert found["still"]["minute 1"].sums["model"] == 1
    assert found["jerk"]["minute 1"].sums["model"] < 1e-3


def test_recordings_too_short_to_compare_with_are_said(
    subject: EvalModel, bodies: list[Body]
) -> None:
    body = bodies[0]
    short = Body(body.skeleton, body.root[:9], body.rotations[:9], body.validity[:9])
    with pytest.raises(BadInput, match="no recording with a body lasts a second"):
        free_run_stats(subject, [short], ticks=60)
    assert set(free_run_stats(subject, [short, body], ticks=60)) == METRICS


def test_it_is_given_draws_and_nothing_else(subject: EvalModel, bodies: list[Body]) -> None:
    fake = _with(subject, subject.rest[None])
    states = pose_states(subject.spec, bodies[0])
    free_run(fake, states, ticks=40)
    again = _with(subject, subject.rest[None])
    free_run(again, states, ticks=40)
    assert isinstance(fake.backend, FakeStates) and isinstance(again.backend, FakeStates)
    np.testing.assert_array_equal(fake.backend.noise, again.backend.noise)
    assert np.abs(np.diff(fake.backend.noise, axis=0)).max() > 0


def test_a_body_of_states_stands_where_its_hips_are(subject: EvalModel, bodies: list[Body]) -> None:
    states = pose_states(subject.spec, bodies[0])
    body = states_to_body(subject, states, bodies[0])
    six = 6 * subject.shape.joints
    np.testing.assert_allclose(body.root[:, 1], states[:, six], atol=1e-5)
    assert isinstance(subject.shape, ModelShape) and len(body) == len(states)
