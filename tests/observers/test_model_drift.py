"""What the model says of a captured body, charted: told where it changes, and silent about faults."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from greenroom.capture.packets import FIRST_OF_CLIP, encode_body
from greenroom.contracts import Alert, ModelShape, Packet, get_tensors
from greenroom.errors import BadInput
from greenroom.features.pipeline import FeatureSpec
from greenroom.features.speech import CHANNELS
from greenroom.frames import BONE, BONES
from greenroom.live.ring import put_packets, slot_type
from greenroom.metrics.motion import AHEAD
from greenroom.monitoring.alerts import UNWATCHED, alert_sentence
from greenroom.observers.drift_monitor import DriftMonitor, MonitoredChannel
from greenroom.observers.model_drift import confidence_channel, style_channel
from greenroom.registry.release import PerformerSpec
from tests.live.stand_in import role

JOINTS = ("hips", "spine", "leftUpperArm", "leftLowerArm", "rightUpperArm", "rightLowerArm")
STYLES = ("calm", "glad", "angry")
SPEC = FeatureSpec(JOINTS)
SHAPE = ModelShape(len(JOINTS), SPEC.state_width, len(CHANNELS), styles=len(STYLES))
J = len(JOINTS)
ROLE: PerformerSpec = replace(role(), spec=SPEC, shape=SHAPE)
LEFT = slice(2, 4)
Said = tuple[np.ndarray, np.ndarray, np.ndarray]


def said(ticks: int, seed: int, style: int | None = None) -> Said:
    """Confidence, sigma and styles of a take: alike from tick to tick, a little different by take."""
    random = np.random.default_rng(seed)
    confidence = 0.9 + random.normal(0, 0.01) + random.normal(0, 0.01, (ticks, J))
    sigma = np.exp(random.normal(0.7, 0.05) + random.normal(0, 0.05, (ticks, J)))
    kind = (int(random.choice(3, p=(0.55, 0.42, 0.03)))) if style is None else style
    sure = np.clip(0.85 + 0.1 * random.normal() + 0.03 * random.normal(size=ticks), 0.34, 1)
    shares = np.repeat((1 - sure)[:, None] / 2, 3, axis=1)
    shares[:, kind] = sure
    return confidence, sigma, shares


def usual(count: int) -> list[np.ndarray]:
    """What a release says is usual: means of ten ticks."""
    takes = [np.concatenate(said(150, seed), axis=1) for seed in range(count)]
    return [take.reshape(15, 10, -1).mean(axis=1).astype(np.float32) for take in takes]


def perform(
    channels: list[MonitoredChannel],
    parts: list[Said],
    lost: range = range(0),
    cut_every: int = 0,
    excused: Any = lambda tick: False,
) -> list[Alert]:
    """Show channels what a model said, tick by tick; the left arm is lost at some."""
    told: list[Alert] = []
    watch = DriftMonitor(
        channels, lambda alert, begins: told.append(alert) if begins else None, excused
    )
    whole = [np.concatenate(each).astype(np.float32) for each in zip(*parts, strict=True)]
    rotations = np.tile(np.asarray([0, 0, 0, 1], np.float32), (len(BONES), 1))
    for tick, (confidence, sigma, style) in enumerate(zip(*whole, strict=True)):
        row = np.zeros((), slot_type(SHAPE))
        row["tick"], row["asked"] = tick, 1
        validity = np.ones(len(BONES), np.float32)
        if tick in lost:
            validity[[BONE["leftUpperArm"], BONE["leftLowerArm"]]] = 0
        flags = FIRST_OF_CLIP if cut_every and tick % cut_every == 0 else 0
        data = encode_body(tick, np.zeros(3, np.float32), rotations, validity, flags)
        put_packets(row, [Packet(0, data)])
        outputs = {"confidence": confidence[None], "sigma": sigma[None], "style": style[None]}
        watch.frame(row, outputs)
    return told


@pytest.fixture(scope="module")
def takes() -> list[np.ndarray]:
    return usual(200)


def streams(first: int, count: int, style: int | None = None) -> list[Said]:
    return [said(150, 1000 + first + n, style) for n in range(count)]


def test_a_model_that_is_less_sure_of_an_arm_is_told_with_the_arm(takes: list[np.ndarray]) -> None:
    parts = streams(0, 24)
    for confidence, sigma, _ in parts[12:]:
        confidence[:, LEFT] -= 0.15
        sigma[:, LEFT] *= 2
    alerts = perform([confidence_channel(ROLE, takes)], parts)
    assert {alert.cause for alert in alerts} == {"model"}
    assert {alert.signal for alert in alerts} == {"confidence", "sigma"}
    first = [alert for alert in alerts if alert.tick < 2000]
    assert all(1750 < alert.began < 1900 for alert in first) and min(a.tick for a in alerts) > 1800
    assert ("left arm",) in {alert.where for alert in first}
    assert ("right arm",) not in {alert.where for alert in alerts}


def test_what_the_model_says_of_a_lost_arm_and_right_after_is_no_evidence(
    takes: list[np.ndarray],
) -> None:
    lost = range(1800, 3000)
    parts = streams(0, 24)
    for at, (confidence, sigma, _) in enumerate(parts):
        if at * 150 in lost:
            confidence[:, LEFT] = 0.1
            sigma[:, LEFT] = 40
    after = parts[20]  # its history has guesses in it
    after[0][: SHAPE.history, LEFT] = 0.1
    after[1][: SHAPE.history, LEFT] = 40
    assert perform([confidence_channel(ROLE, takes)], parts, lost) == []


def test_in_control_nothing_is_told_and_cuts_are_passed_over(takes: list[np.ndarray]) -> None:
    channels = [confidence_channel(ROLE, takes), style_channel(ROLE, STYLES, takes)]
    parts = streams(100, 100)
    for part in parts:
        part[1][: SHAPE.history] = 40  # a window across a cut is like nothing
    assert perform(channels, parts, cut_every=150) == []


def test_a_rare_style_that_becomes_frequent_is_told_unless_it_is_wanted(
    takes: list[np.ndarray],
) -> None:
    parts = streams(400, 40) + streams(500, 24, style=2)
    (alert,) = perform([style_channel(ROLE, STYLES, takes)], parts)
    assert (alert.signal, alert.cause, alert.where) == ("spike of angry", "new style", ("angry",))
    assert alert.began > 5700 and alert.tick < 6000 + 30 * 30 and alert.size > 0.5
    wanted = perform([style_channel(ROLE, STYLES, takes)], parts, excused=lambda tick: tick >= 5900)
    assert wanted == []


def test_a_release_that_came_is_never_charted_by_what_is_usual_for_another(
    takes: list[np.ndarray],
) -> None:
    motion = MonitoredChannel(_Broken(range(99)), lambda row, outputs: 0.0)
    watch = DriftMonitor([confidence_channel(ROLE, takes), motion], lambda alert, begins: None)
    row = np.zeros((), slot_type(SHAPE))
    watch.frame(row, {})
    first, second = threading.Event(), threading.Event()

    def late() -> list[MonitoredChannel]:
        first.wait(10)
        return [MonitoredChannel(_Broken(range(1)), lambda row, outputs: 1.0)]

    def soon() -> list[MonitoredChannel]:
        second.wait(10)
        return [MonitoredChannel(_Broken(range(1)), lambda row, outputs: 2.0)]

    watch.renew(late)
    assert watch.channels == [motion]  # at once, and motion goes on
    row["asked"], row["tick"] = 1, 1
    watch.frame(row, {"something": np.zeros(1)})
    watch.renew(soon)
    second.set()
    first.set()
    for _ in range(100):
        time.sleep(0.02)
        watch.frame(row, {})
    (channel,) = watch.channels
    assert channel.read(row, {}) == 2.0  # the newest counts, whichever was ready last


def test_charts_that_cannot_be_made_are_told_and_the_show_goes_on(takes: list[np.ndarray]) -> None:
    told: list[tuple[Alert, bool]] = []
    motion = MonitoredChannel(_Broken(range(99)), lambda row, outputs: 0.0)
    watch = DriftMonitor(
        [confidence_channel(ROLE, takes), motion],
        lambda alert, begins: told.append((alert, begins)),
    )
    row = np.zeros((), slot_type(SHAPE))

    def make() -> list[MonitoredChannel]:
        raise BadInput("a blob is missing")

    def unwatched(make: Callable[[], list[MonitoredChannel]], count: int) -> tuple[Alert, bool]:
        watch.renew(make)
        for _ in range(100):
            row["tick"] += 1
            watch.frame(row, {})
            found = [one for one in told if one[0].signal == UNWATCHED]
            if len(found) == count:
                return found[-1]
            time.sleep(0.02)
        raise AssertionError("nothing was told")

    watch.frame(row, {})
    alert, begins = unwatched(make, 1)
    assert begins and alert.cause == "machine" and alert.tick == alert.began == int(row["tick"])
    said = alert_sentence(alert)
    assert said.startswith("Charts of what performs now could not be made: a blob is missing. Try")
    assert "Stop other work" not in said
    assert watch.channels == [motion]

    def make_another() -> list[MonitoredChannel]:
        raise BadInput("so\n  is another " + 500 * "x")

    alert, begins = unwatched(make_another, 3)  # the first one's ends, and this one's begins
    assert begins and alert.where[0].startswith("so is another x") and len(alert.where[0]) == 200
    assert not [one for one in told if one[0].signal == UNWATCHED][1][1]
    alert, begins = unwatched(lambda: [motion], 4)
    assert not begins and alert.where[0].startswith("so is another")


class _Broken:
    """A chart of a capture that is broken from one tick to another."""

    learning = False

    def __init__(self, at: range) -> None:
        self.at, self.tick, self.alerts = at, 0, ()

    def update(self, x: Any, *, excused: bool = False) -> None:
        if self.tick == self.at.start:
            self.alerts = (Alert("jitter", "capture fault", (), 1.0, self.tick, 0, 0, 0),)
        self.tick += 1

    def lasts(self, signal: str) -> bool:
        return self.tick in self.at


@pytest.mark.parametrize(
    ("sense", "cause"), [("body", "capture fault"), ("voice", "model")], ids=["its own", "another"]
)
def test_what_is_told_during_a_fault_of_the_same_sense_is_the_faults(
    takes: list[np.ndarray], sense: str, cause: str
) -> None:
    broken = MonitoredChannel(_Broken(range(1800, 3600)), lambda row, outputs: 0.0, sense)
    parts = streams(0, 24)
    for _, sigma, _ in parts[12:]:
        sigma *= 2
    first, *others = perform([broken, confidence_channel(ROLE, takes)], parts)
    assert first.signal == "jitter"
    assert others and {alert.cause for alert in others} == {cause}


AHEAD_SHAPE = replace(SHAPE, horizons=(1, AHEAD, 15), styles=0, context=1)


def forecasting(cut_every: int, told: bool = False) -> np.ndarray:
    """What the channel of sureness reads of a model whose forecasts all come true (T, C)."""
    random = np.random.default_rng(0)
    usual_rows = np.concatenate([said(150, 0)[0], said(150, 0)[1], np.zeros((150, 1))], axis=1)
    means = usual_rows.reshape(15, 10, -1).mean(axis=1).astype(np.float32)
    channel = confidence_channel(replace(ROLE, shape=AHEAD_SHAPE), [means] * 80)
    states = np.cumsum(random.normal(0, 0.1, (300 + AHEAD, J, 6)), axis=0).astype(np.float32)
    states += np.arange(len(states))[:, None, None] // cut_every * 5  # each clip is elsewhere
    out = []
    for tick in range(300):
        row = np.zeros((), slot_type(AHEAD_SHAPE))
        row["tick"], row["asked"] = tick, 1
        inputs = get_tensors(row["inputs"], AHEAD_SHAPE.inputs())
        inputs["valid"][:] = 1
        inputs["state"][0, : 6 * J] = states[tick].ravel()
        inputs["context"][:] = told
        still = np.tile(np.asarray([0, 0, 0, 1], np.float32), (len(BONES), 1))
        flags = FIRST_OF_CLIP if tick % cut_every == 0 else 0
        there = np.ones(len(BONES), np.float32)
        data = encode_body(tick, np.zeros(3, np.float32), still, there, flags)
        put_packets(row, [Packet(0, data)])
        ends = (tick // cut_every + 1) * cut_every - 1
        outputs = {
            "confidence": np.full((1, J), 0.9, np.float32),
            "sigma": np.full((1, J), 2.0, np.float32),
            "forecast": np.stack([0 * states[0], states[min(tick + AHEAD, ends)], 9 + states[0]])[
                None
            ],
        }
        out.append(np.asarray(channel.read(row, outputs)))
    return np.stack(out)


def test_forecasts_are_compared_with_what_they_were_of_across_cuts_too() -> None:
    off = forecasting(cut_every=100)[:, -1]
    assert np.nanmax(off) < 1e-6 and np.isfinite(off).sum() > 150
    assert np.isnan(off[100 : 100 + SHAPE.history]).all()


def test_a_model_that_is_told_something_is_not_compared_with_one_that_was_not() -> None:
    assert np.isnan(forecasting(cut_every=300, told=True)).all()
    assert np.isfinite(forecasting(cut_every=300)[50:]).all()
