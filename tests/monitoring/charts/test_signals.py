"""The chart of single signals: what it sees, what it lets pass, and real voices."""

from pathlib import Path

import numpy as np
import pytest

from greenroom.capture.formats.wav import read_audio
from greenroom.contracts import Alert
from greenroom.errors import BadInput
from greenroom.features.speech import extract_speech
from greenroom.frames import SAMPLES_PER_TICK
from greenroom.monitoring.charts.signals import (
    FACE,
    LEAST,
    VOICE,
    Signal,
    SignalChart,
    face_rows,
    prediction_rows,
    prediction_signals,
    voice_rows,
)

GROUPS = {"left arm": (0, 1), "right arm": (2, 3)}


def take(
    rng: np.random.Generator, ticks: int, mean: float, spread: float, width: int
) -> np.ndarray:
    """A take (T, C) that hangs together: about a level of its own, each tick near the last."""
    noise = rng.normal(0, spread, (ticks, width))
    for t in range(1, ticks):
        noise[t] = 0.9 * noise[t - 1] + 0.4 * noise[t]
    return mean + rng.normal(0, spread / 2, width) + noise


def outputs(rng: np.random.Generator, ticks: int) -> tuple[np.ndarray, np.ndarray]:
    return take(rng, ticks, 0.94, 0.01, 4), take(rng, ticks, 3.0, 0.2, 4)


def watched(chart: SignalChart, rows: np.ndarray) -> tuple[Alert, ...]:
    chart.reset()
    for row in rows:
        assert chart.update(row) is None
    return chart.alerts


@pytest.fixture(scope="module")
def model() -> SignalChart:
    rng = np.random.default_rng(0)
    takes = [prediction_rows(*outputs(rng, 240), GROUPS) for _ in range(80)]
    return SignalChart(prediction_signals(GROUPS)).fit(takes)


@pytest.mark.slow
def test_a_model_as_sure_as_its_reference_keeps_the_budget() -> None:
    moments = 0
    for seed in range(4):  # of a reference, and two hours of takes that are never the same twice
        rng = np.random.default_rng(seed)
        takes = [prediction_rows(*outputs(rng, 240), GROUPS) for _ in range(80)]
        chart = SignalChart(prediction_signals(GROUPS)).fit(takes)
        rng = np.random.default_rng(seed + 1)
        parts = [prediction_rows(*outputs(rng, 240), GROUPS) for _ in range(900)]
        # A limb's alert and the body's come of one moment.
        moments += len({alert.tick // 300 for alert in watched(chart, np.concatenate(parts))})
        assert not chart.learning
    assert moments <= 2  # in eight hours, a third of one is the budget


def test_less_confidence_in_one_limb_names_it_the_model_and_when_it_began(
    model: SignalChart,
) -> None:
    rng = np.random.default_rng(2)
    confidence, sigma = outputs(rng, 1800)
    confidence[900:, :2] -= 0.1
    found = watched(model, prediction_rows(confidence, sigma, GROUPS))
    arm = next(alert for alert in found if alert.where == ("left arm",))
    assert (arm.signal, arm.cause) == ("confidence", "model")
    assert 900 < arm.tick < 1100 and arm.began_low <= 900 <= arm.began_high
    assert arm.size == pytest.approx(-0.1, abs=0.03)  # in its own unit
    assert all(alert.where != ("right arm",) for alert in found)


def test_a_model_that_is_surer_than_usual_is_no_alarm(model: SignalChart) -> None:
    rng = np.random.default_rng(3)
    confidence, sigma = outputs(rng, 1800)
    assert watched(model, prediction_rows(confidence + 0.05, sigma / 2, GROUPS)) == ()


def test_it_says_what_goes_on_once_and_arms_again_when_it_is_back(model: SignalChart) -> None:
    rng = np.random.default_rng(4)
    confidence, sigma = outputs(rng, 7200)
    sigma[900:1800] += 3
    sigma[5400:6300] += 3
    found = [a for a in watched(model, prediction_rows(confidence, sigma, GROUPS))]
    body = [alert for alert in found if alert.where == ("body",)]
    assert [alert.signal for alert in body] == ["sigma", "sigma"]
    assert body[0].began_low <= 900 <= body[0].began_high
    assert body[1].began_low <= 5400 <= body[1].began_high


def test_below_the_least_reference_it_is_learning_and_says_nothing() -> None:
    rng = np.random.default_rng(5)
    signals = [Signal("level", "voice", 1.0, "capture fault", "capture fault")]
    few = [take(rng, 300, 0, 1, 1) for _ in range(LEAST - 1)]
    chart = SignalChart(signals).fit(few)
    assert chart.learning and watched(chart, np.full((900, 1), 50.0)) == ()
    more = SignalChart(signals).fit([*few, take(rng, 300, 0, 1, 1)])
    assert not more.learning and len(watched(more, np.full((900, 1), 50.0))) == 1


def test_what_a_signal_does_not_say_is_no_evidence(model: SignalChart) -> None:
    assert watched(model, np.full((1800, len(model.signals)), np.nan)) == ()


def test_a_face_whose_tracker_loses_it_is_a_capture_fault() -> None:
    rng = np.random.default_rng(6)

    def rows(ticks: int, seen: float, light: float) -> np.ndarray:
        weights = np.clip(take(rng, ticks, 0.4, 0.1, 20), 0.01, 0.99)
        validity = (rng.random((ticks, 20)) < seen).astype(float)
        return face_rows(weights, validity, take(rng, ticks, light, 0.02, 1)[:, 0])

    chart = SignalChart(FACE).fit([rows(240, 0.98, 0.5) for _ in range(60)])
    found = watched(chart, np.concatenate([rows(900, 0.98, 0.5), rows(300, 0.5, 0.1)]))
    assert {alert.signal for alert in found} == {"visibility", "brightness"}
    assert all((a.cause, a.where) == ("capture fault", ("face",)) and a.size < 0 for a in found)
    clamped = face_rows(np.asarray([[0.0, 1.0, 0.5, np.nan]]), np.asarray([[1.0, 1, 1, 0]]))
    np.testing.assert_allclose(clamped, [[0.75, 2 / 3, np.nan]])


@pytest.mark.parametrize(
    ("call", "why"),
    [
        (lambda: SignalChart(FACE).fit([]), "one take"),
        (lambda: SignalChart(FACE).fit([np.zeros((9, 2))]), "one take"),
        (lambda: SignalChart(FACE).update([0, 0, 0]), "without a reference"),
        (lambda: SignalChart(FACE).fit([np.zeros((99, 3))]).update([0]), "a tick is"),
        (lambda: SignalChart([Signal("x", "y", 1, "ghosts")]).fit([np.zeros((9, 1))]), "a cause"),
        (lambda: voice_rows(np.zeros((3, 5)), np.zeros((3, 800))), "a voice is"),
        (lambda: face_rows(np.zeros((3, 5)), np.zeros((3, 4))), "weights and their validity"),
    ],
)
def test_what_cannot_be_charted_is_refused(call: object, why: str) -> None:
    assert callable(call)
    with pytest.raises(BadInput, match=why):
        call()


def voice(sounds: list[np.ndarray]) -> np.ndarray:
    samples = np.concatenate(sounds).astype(np.float32)
    features = extract_speech(samples)
    whole = np.zeros((len(features), SAMPLES_PER_TICK), np.float32)
    whole.ravel()[: len(samples)] = samples
    return voice_rows(features, whole)


def recordings(folder: Path, pattern: str) -> list[np.ndarray]:
    paths = sorted(folder.rglob(pattern))
    return [read_audio(path.read_bytes(), where=path.name).samples for path in paths]


@pytest.fixture(scope="module")
def prompts(shared_data: Path) -> list[np.ndarray]:
    return recordings(shared_data / "asterisk_prompts_multilingual" / "en", "*.wav")


def test_a_real_voice_s_faults_are_named_and_dated_and_itself_is_quiet(
    prompts: list[np.ndarray],
) -> None:
    held = prompts[4::5]
    chart = SignalChart(VOICE).fit([voice([p]) for n, p in enumerate(prompts) if n % 5 != 4])
    assert watched(chart, voice(held)) == ()
    before, after = held[:8], np.concatenate(held[8:])
    start = sum(map(len, before)) // SAMPLES_PER_TICK
    noise = np.random.default_rng(0).normal(0, 0.02, len(after))
    for sound, signal in (
        (after * 0.1, "level"),
        (np.clip(after * 20, -1, 1), "clipping"),
        (after + noise, "noise floor"),
        (after * 0, "silence"),
    ):
        found = watched(chart, voice([*before, sound]))
        named = {alert.signal: alert for alert in found}
        assert named[signal].cause == "capture fault", signal
        assert start < named[signal].tick < start + 150, signal
        assert named[signal].began_low <= start + 1 <= named[signal].began_high + 30, signal


def test_another_real_speaker_is_a_new_person(shared_data: Path, prompts: list[np.ndarray]) -> None:
    chart = SignalChart(VOICE).fit([voice([prompt]) for prompt in prompts])
    other = recordings(shared_data / "fsdd_spoken_digits", "*_jackson_*.wav")
    found = watched(chart, voice([*prompts[:9], *other]))
    assert ("f0", "new person") in {(alert.signal, alert.cause) for alert in found}
