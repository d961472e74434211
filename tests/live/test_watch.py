"""Charts beside a show: what they are fed, what is told, and what is kept to learn from."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from greenroom import embedded
from greenroom.capture.ingest import load_take
from greenroom.capture.packets import encode_audio, encode_body
from greenroom.capture.sample_data import Clip
from greenroom.consent.records import read_rights
from greenroom.contracts import Alert, Packet
from greenroom.frames import BONE, BONES, HUMANOID, SAMPLES_PER_TICK, Body
from greenroom.live.playlist import degrade_capture
from greenroom.live.ring import put_packets, slot_type
from greenroom.manifests import Take
from greenroom.observers.capture_buffer import LEAST, PIECE, CaptureRecorder
from greenroom.observers.drift_channels import (
    load_training_reference,
    motion_channels,
    voice_channel,
)
from greenroom.observers.drift_monitor import DriftMonitor, MonitoredChannel
from greenroom.registry.release import load_release
from greenroom.rotations import from_vector, multiply
from greenroom.store.attribution import Attribution
from greenroom.store.workspace import Workspace
from tests.live.stand_in import SHAPE

MOVING = ("hips", "spine", "leftUpperArm", "leftLowerArm", "rightUpperArm", "rightLowerArm")


def swaying(ticks: int, seed: int) -> Body:
    """A body of which six bones move; the others are not there."""
    random = np.random.default_rng(seed)
    rotations = np.tile(np.asarray([0, 0, 0, 1], np.float32), (ticks, len(BONES), 1))
    validity = np.zeros((ticks, len(BONES)), np.float32)
    phase = random.uniform(0, 6) + np.cumsum(0.2 + np.cumsum(random.normal(0, 2e-3, ticks)))
    for i, name in enumerate(MOVING):
        wide = 0.4 + 0.2 * np.sin(np.arange(ticks) / 40 + random.uniform(0, 6))
        swing = (wide * np.sin(phase + i))[:, None] * np.asarray([1, 0.5, 0])
        swing += random.normal(0, 0.003, (ticks, 3))
        rotations[:, BONE[name]] = from_vector(swing.astype(np.float32))
        validity[:, BONE[name]] = 1
    root = np.tile(np.asarray([0, 0.95, 0], np.float32), (ticks, 1))
    return Body(HUMANOID, root, rotations, validity)


def row(tick: int, body: Body | None, at: int, flags: int = 0) -> Any:
    out = np.zeros((), slot_type(SHAPE))
    out["tick"] = tick
    if body is not None:
        data = encode_body(tick, body.root[at], body.rotations[at], body.validity[at], flags)
        put_packets(out, [Packet(0, data)])
    return out


@pytest.fixture(scope="module")
def channel() -> MonitoredChannel:
    return motion_channels({str(n): swaying(240, n) for n in range(100)})[0]


def watched(
    channel: MonitoredChannel, body: Body, lost: range, excused: Any = None
) -> list[tuple[Alert, bool]]:
    channel.chart.reset()  # type: ignore[attr-defined]
    said: list[tuple[Alert, bool]] = []
    watch = DriftMonitor(
        [channel],
        lambda alert, begins: said.append((alert, begins)),
        excused or (lambda tick: False),
    )
    for tick in range(len(body)):
        watch.frame(row(100 + tick, None if tick in lost else body, tick), {})
    return said


def test_a_lost_capture_is_told_in_the_shows_ticks_and_so_is_its_end(
    channel: MonitoredChannel,
) -> None:
    said = watched(channel, swaying(900, 1000), range(300, 360))
    (begun, _), *_ = said
    assert (begun.signal, begun.cause, begun.began) == ("missing", "capture fault", 400)
    assert 400 < begun.tick < 430
    assert [begins for alert, begins in said if alert.signal == "missing"] == [True, False]
    assert set(begun.where) >= {"left arm", "right arm"}


def test_bones_that_the_reference_never_had_are_not_charted(channel: MonitoredChannel) -> None:
    body = swaying(600, 1001)
    body.validity[:] = 1  # a tracker that makes up what it does not see: exactly at rest for ever
    assert watched(channel, body, range(0)) == []


def test_the_light_that_fails_is_a_fault_of_the_capture(channel: MonitoredChannel) -> None:
    body = swaying(900, 1002)
    stretch = slice(300, 600)
    dark = Body(body.skeleton, body.root[stretch], body.rotations[stretch], body.validity[stretch])
    degrade_capture(dark, 300, 0)  # views: the body itself
    causes = {alert.cause for alert, begins in watched(channel, body, range(0)) if begins}
    assert causes == {"capture fault"}


def test_a_new_style_is_told_unless_the_script_wants_it(channel: MonitoredChannel) -> None:
    body = swaying(900, 1003)
    for bone, turn in (("spine", (0.9, 0, 0)), ("leftUpperArm", (0, 0, 0.9))):
        bend = from_vector(np.asarray(turn, np.float32))
        body.rotations[300:, BONE[bone]] = multiply(
            np.broadcast_to(bend, (600, 4)), body.rotations[300:, BONE[bone]]
        )
    told = watched(channel, body, range(0))
    assert ("style", "new style") in {(alert.signal, alert.cause) for alert, _ in told}
    excused = watched(channel, body, range(0), lambda tick: tick >= 395)
    assert "style" not in {alert.signal for alert, _ in excused}


def test_what_is_new_is_kept_in_pieces_with_the_rights_of_who_is_captured(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    who = Attribution("mira", ("ana",), (read_rights("MIT", "ana"),))
    told: list[str] = []
    harvest = CaptureRecorder(workspace, who, HUMANOID, "captured", "test", told.append)
    body = swaying(900, 3)
    for tick in range(200):
        harvest.frame(row(tick, body, tick), {})
    assert told == []
    harvest.begin(150)  # an alert tells late what began earlier
    harvest.begin(190)
    for tick in range(200, 800):
        first = tick == 600  # of a clip
        harvest.frame(row(tick, None if tick == 700 else body, tick, int(first)), {})
    harvest.end()
    kept = [workspace.objects.read(take, Take) for take in told]
    assert told == harvest.takes
    ticks = [manifest.clock.ticks for manifest in kept]
    assert ticks == [PIECE, 150, 100, 99] and min(ticks) >= LEAST
    for take in told:
        attribution = workspace.attributions.of(take)
        assert (attribution.participants, attribution.rights) == (("ana",), who.rights)
    again = load_take(workspace, told[0], ("body",)).body
    assert again is not None
    moving = [BONE[name] for name in MOVING]
    np.testing.assert_allclose(
        np.abs((again.rotations[:, moving] * body.rotations[150:450, moving]).sum(-1)), 1, atol=1e-4
    )


def test_a_capture_with_holes_is_no_example(tmp_path: Path) -> None:
    harvest = CaptureRecorder(
        Workspace(tmp_path), Attribution("mira"), HUMANOID, "captured", "test"
    )
    body = swaying(300, 4)
    body.validity[100, BONE["spine"]] = 0
    harvest.begin(0)
    for tick in range(300):
        harvest.frame(row(tick, body, tick), {})
    harvest.end()
    assert harvest.takes == []


def test_a_voice_that_falls_silent_is_told() -> None:
    random = np.random.default_rng(0)

    def speech(ticks: int, level: float) -> np.ndarray:
        time = np.arange(ticks * SAMPLES_PER_TICK) / 24_000
        pitch = 120 + 15 * np.sin(2 * np.pi * time / 1.7 + random.uniform(0, 6))
        tone = np.sign(np.sin(2 * np.pi * np.cumsum(pitch) / 24_000))
        wave = level * (0.2 * tone + 0.002 * random.standard_normal(len(time)))
        return wave.astype(np.float32)

    heard = voice_channel({str(n): speech(300, 1.0) for n in range(60)})
    said: list[tuple[Alert, bool]] = []
    watch = DriftMonitor([heard], lambda alert, begins: said.append((alert, begins)))
    stream = np.concatenate([speech(300, 1.0), np.zeros(300 * SAMPLES_PER_TICK, np.float32)])
    for tick in range(600):
        out = np.zeros((), slot_type(SHAPE))
        out["tick"] = tick
        sound = stream[tick * SAMPLES_PER_TICK : (tick + 1) * SAMPLES_PER_TICK]
        put_packets(out, [Packet(0, encode_audio(tick, sound))])
        watch.frame(out, {})
    (alert, begins), *_ = said
    assert begins and (alert.signal, alert.cause, alert.where) == (
        "silence",
        "capture fault",
        ("voice",),
    )
    assert 290 <= alert.began <= 310 and alert.tick <= 400


def test_a_reference_is_what_the_release_learned_from_as_far_as_it_is_here(
    tmp_path: Path, published: list[Clip]
) -> None:
    workspace = Workspace(tmp_path)
    release = load_release(workspace, embedded.install(workspace))
    (sure,) = load_training_reference(
        workspace, release
    ).channels()  # takes by name alone: the model's words
    assert sure.words and sure.chart.learning  # of some seconds of held-out clips
    clips = embedded.ingest_clips(workspace, "test")
    reference = load_training_reference(workspace, release)
    held = {*embedded.TEST, *embedded.VALIDATION}
    learned = {clips[name] for name in clips if name.startswith("humanoid3d_") and name not in held}
    assert set(reference.bodies) == learned and reference.sounds == {}
    channel, sure = reference.channels()
    assert sure.words and not channel.words
    assert channel.chart.learning  # half a minute is no reference
