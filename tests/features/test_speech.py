import numpy as np
import pytest

from greenroom.features.speech import (
    BANDS,
    CHANNELS,
    PADDED,
    WINDOW,
    level_db,
    log_mel,
    mel_filters,
    mel_scale,
    mel_to_hz,
    pitch,
    power,
    speech_features,
)
from greenroom.frames import SAMPLE_RATE, SAMPLES_PER_TICK, Doubles


def windows_of(sound: Doubles) -> Doubles:
    ends = range(WINDOW, len(sound) + 1, SAMPLES_PER_TICK)
    return np.stack([sound[end - WINDOW : end] for end in ends])


def tone(hz: float, amplitude: float = 0.3, harmonics: int = 1, seconds: float = 0.3) -> Doubles:
    t = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    parts = [np.sin(2 * np.pi * hz * k * t + k) / k for k in range(1, harmonics + 1)]
    return amplitude * np.sum(parts, axis=0)


def slow_log_mel(window: Doubles) -> list[float]:
    """Slaney's mel bands with area norm, from the definitions, band by band and bin by bin."""
    hann = [0.5 - 0.5 * np.cos(2 * np.pi * n / WINDOW) for n in range(WINDOW)]
    n = np.arange(WINDOW)
    turned = window * np.asarray(hann)
    power = [
        abs(np.sum(turned * np.exp(-2j * np.pi * k * n / PADDED))) ** 2
        for k in range(PADDED // 2 + 1)
    ]

    def mel(hz: float) -> float:
        return hz * 3 / 200 if hz < 1000 else 15 + 27 * np.log(hz / 1000) / np.log(6.4)

    def hertz(mel: float) -> float:
        return mel * 200 / 3 if mel < 15 else 1000 * 6.4 ** ((mel - 15) / 27)

    edges = [hertz(mel(SAMPLE_RATE / 2) * i / (BANDS + 1)) for i in range(BANDS + 2)]
    out = []
    for low, middle, high in zip(edges, edges[1:], edges[2:], strict=False):
        total = 0.0
        for k, value in enumerate(power):
            hz = k * SAMPLE_RATE / PADDED
            if low < hz <= middle:
                total += value * (hz - low) / (middle - low) * 2 / (high - low)
            elif middle < hz < high:
                total += value * (high - hz) / (high - middle) * 2 / (high - low)
        out.append(np.log(max(total, 1e-10)))
    return out


@pytest.mark.parametrize("seed", [0, 1])
def test_log_mel_is_that_of_the_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    window = rng.normal(size=WINDOW) * 0.1 + tone(220, harmonics=5)[:WINDOW] * seed
    np.testing.assert_allclose(log_mel(power(window[None]))[0], slow_log_mel(window), rtol=1e-9)


def test_mel_scale_of_known_values_and_back() -> None:
    np.testing.assert_allclose(mel_scale(np.asarray([0.0, 200.0, 1000.0, 6400.0])), [0, 3, 15, 42])
    hz = np.linspace(0, 12000, 500)
    np.testing.assert_allclose(mel_to_hz(mel_scale(hz)), hz, atol=1e-9)


def test_every_band_hears_something_and_has_unit_area() -> None:
    filters = mel_filters()
    assert filters.shape == (BANDS, PADDED // 2 + 1) and (filters.sum(axis=1) > 0).all()
    wide = filters[20:]  # bins are fine enough there for the sum to be the area
    np.testing.assert_allclose(wide.sum(axis=1) * SAMPLE_RATE / PADDED, 1, rtol=0.02)


@pytest.mark.parametrize("hz", [62.0, 75.5, 100.0, 147.3, 220.0, 261.63, 333.3, 440.0, 495.0])
@pytest.mark.parametrize("harmonics", [1, 8])
def test_the_pitch_of_a_tone_is_within_half_a_percent(hz: float, harmonics: int) -> None:
    windows = windows_of(tone(hz, harmonics=harmonics))
    log_f0, voicing = np.transpose(pitch(power(windows), level_db(windows)))
    np.testing.assert_allclose(np.exp(log_f0), hz, rtol=0.005)
    # Below 70 Hz the window holds less than three periods.
    assert (voicing > (0.9 if hz > 70 else 0.8)).all() and (voicing <= 1).all()


@pytest.mark.parametrize("amplitude", [0.0, 1e-4])
def test_silence_is_unvoiced(amplitude: float) -> None:
    windows = windows_of(tone(200, amplitude))
    log_f0, voicing = np.transpose(pitch(power(windows), level_db(windows)))
    assert (log_f0 == 0).all() and (voicing == 0).all()
    features = speech_features(windows)
    assert np.isfinite(features).all()
    assert (features[:, CHANNELS.index("log_f0")] == 0).all()


def test_noise_is_mostly_unvoiced() -> None:
    windows = windows_of(np.random.default_rng(0).normal(size=SAMPLE_RATE) * 0.1)
    log_f0, voicing = np.transpose(pitch(power(windows), level_db(windows)))
    assert (voicing > 0).mean() < 0.1
    assert ((log_f0 == 0) == (voicing == 0)).all()


@pytest.mark.parametrize(("amplitude", "decibels"), [(1.0, -3.0103), (0.1, -23.0103), (0, -100)])
def test_the_level_is_rms_in_db_of_full_scale(amplitude: float, decibels: float) -> None:
    np.testing.assert_allclose(level_db(windows_of(tone(300, amplitude))), decibels, atol=1e-3)


def test_the_level_is_of_the_ticks_own_samples() -> None:
    window = np.zeros((1, WINDOW))
    window[0, : WINDOW - SAMPLES_PER_TICK] = 1
    assert level_db(window) == [-100]
    window[0, WINDOW - SAMPLES_PER_TICK] = 1
    assert level_db(window)[0] > -100


def test_a_rows_bits_depend_on_that_row_alone() -> None:
    sound = np.random.default_rng(3).normal(size=SAMPLE_RATE) * 0.1
    windows = windows_of(sound + tone(150, seconds=1.0, harmonics=4))
    together = speech_features(windows)
    for t, window in enumerate(windows):
        assert speech_features(window[None])[0].tobytes() == together[t].tobytes()


def test_channels_are_in_their_order() -> None:
    [row] = speech_features(windows_of(tone(220))[:1])
    assert len(CHANNELS) == len(row) == 43
    named = dict(zip(CHANNELS, row, strict=True))
    assert named["level_db"] == pytest.approx(20 * np.log10(0.3 / np.sqrt(2)), abs=0.3)
    assert np.exp(named["log_f0"]) == pytest.approx(220, rel=0.005)
    assert named["voicing"] > 0.9 and named["mel05"] > named["mel30"]
