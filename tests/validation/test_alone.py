"""Minutes with nothing captured: who plays a recording is as lively as it, who freezes is told."""

import numpy as np
import pytest

from greenroom.contracts import ModelShape
from greenroom.datasets.build import bodies_of, states_of
from greenroom.errors import BadInput
from greenroom.frames import Body, Floats
from greenroom.live.backends import OnnxBackend
from greenroom.metrics.motion import figure
from greenroom.registry.promote import on_stage
from greenroom.registry.release import load_release
from greenroom.store.workspace import Workspace
from greenroom.validation.alone import alone, body_of, go_on
from greenroom.validation.subject import Subject

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
def subject(home: Workspace) -> Subject:
    release = load_release(home, on_stage(home, "mira"))
    return Subject.of(release.model, OnnxBackend(release.graph, release.role.shape))


@pytest.fixture(scope="module")
def bodies(home: Workspace) -> list[Body]:
    model = load_release(home, on_stage(home, "mira")).model
    dataset = home.objects.manifest(model["parents"]["dataset"], "dataset")
    return list(bodies_of(home, dataset, "test").values())


def _with(subject: Subject, states: Floats) -> Subject:
    return Subject(FakeStates(states), subject.spec, subject.shape, subject.rest)


def test_the_real_model_lives_and_every_minute_is_told(
    subject: Subject, bodies: list[Body]
) -> None:
    found = alone(subject, bodies, ticks=1830)
    assert set(found) == METRICS
    for minutes in found.values():
        assert list(minutes) == ["minute 1", "minute 2"]  # the last two seconds are a stretch too
        assert all(np.isfinite(list(t.sums.values())).all() for t in minutes.values())
    assert figure(list(found["jerk"].values()), "model") > 0


def test_who_plays_a_recording_is_as_it_is(subject: Subject, bodies: list[Body]) -> None:
    longest = max(bodies, key=len)
    states = states_of(subject.spec, longest)
    found = alone(_with(subject, states), [longest], ticks=len(states))
    jerk, still = (found[metric]["minute 1"].sums for metric in ("jerk", "still"))
    assert jerk["model"] == pytest.approx(jerk["recordings"], rel=0.25)
    assert still["model"] == pytest.approx(still["recordings"], abs=0.1)
    assert found["height"]["minute 1"].sums["model"] == 0
    # Feet that stand are held, so they slide no more than the recording's.
    assert found["skate"]["minute 1"].sums["model"] <= found["skate"]["minute 1"].sums["recordings"]


@pytest.mark.parametrize("shift", [0.1, -0.1])
def test_feet_off_the_floor_are_told(subject: Subject, bodies: list[Body], shift: float) -> None:
    stands = body_of(subject, np.repeat(subject.rest[None], 90, axis=0), bodies[0])
    other = subject.rest[None].copy()
    other[:, 6 * subject.shape.joints] += shift
    found = alone(_with(subject, other), [stands], ticks=90)["float"]["minute 1"].sums
    assert found["recordings"] == pytest.approx(0, abs=0.1)
    assert found["model"] == pytest.approx(100, abs=0.1)


def test_who_freezes_is_still(subject: Subject, bodies: list[Body]) -> None:
    found = alone(_with(subject, subject.rest[None]), bodies, ticks=300)
    assert found["still"]["minute 1"].sums["model"] == 1
    assert found["jerk"]["minute 1"].sums["model"] < 1e-3


def test_recordings_too_short_to_compare_with_are_said(
    subject: Subject, bodies: list[Body]
) -> None:
    body = bodies[0]
    short = Body(body.skeleton, body.root[:9], body.rotations[:9], body.validity[:9])
    with pytest.raises(BadInput, match="no recording with a body lasts a second"):
        alone(subject, [short], ticks=60)
    assert set(alone(subject, [short, body], ticks=60)) == METRICS


def test_it_is_given_draws_and_nothing_else(subject: Subject, bodies: list[Body]) -> None:
    fake = _with(subject, subject.rest[None])
    states = states_of(subject.spec, bodies[0])
    go_on(fake, states, ticks=40)
    again = _with(subject, subject.rest[None])
    go_on(again, states, ticks=40)
    assert isinstance(fake.backend, FakeStates) and isinstance(again.backend, FakeStates)
    np.testing.assert_array_equal(fake.backend.noise, again.backend.noise)
    assert np.abs(np.diff(fake.backend.noise, axis=0)).max() > 0


def test_a_body_of_states_stands_where_its_hips_are(subject: Subject, bodies: list[Body]) -> None:
    states = states_of(subject.spec, bodies[0])
    body = body_of(subject, states, bodies[0])
    six = 6 * subject.shape.joints
    np.testing.assert_allclose(body.root[:, 1], states[:, six], atol=1e-5)
    assert isinstance(subject.shape, ModelShape) and len(body) == len(states)
