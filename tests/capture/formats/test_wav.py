import io
import struct

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from greenroom.capture.formats.wav import read_audio, write_broadcast_wav, write_wav
from greenroom.clock import NS_PER_S, Timecode
from greenroom.errors import BadInput


def tone(rate: int, seconds: float = 0.5, channels: int = 1) -> np.ndarray:
    t = np.arange(int(rate * seconds)) / rate
    return np.repeat(0.5 * np.sin(2 * np.pi * 440 * t)[:, None], channels, axis=1)


def packed(samples: np.ndarray, rate: int, subtype: str, form: str = "WAV") -> bytes:
    out = io.BytesIO()
    soundfile.write(out, samples, rate, format=form, subtype=subtype)
    return out.getvalue()


FORMATS = [
    ("WAV", "PCM_U8", 0.02),
    ("WAV", "PCM_16", 1e-3),
    ("WAV", "PCM_24", 1e-3),
    ("WAV", "PCM_32", 1e-3),
    ("WAV", "FLOAT", 1e-3),
    ("WAV", "DOUBLE", 1e-3),
    ("WAV", "ULAW", 0.02),
    ("WAV", "ALAW", 0.02),
    ("WAVEX", "PCM_16", 1e-3),
    ("RF64", "PCM_16", 1e-3),
    ("FLAC", "PCM_24", 1e-3),
]


@pytest.mark.parametrize(("form", "subtype", "close"), FORMATS)
@pytest.mark.parametrize(("rate", "channels"), [(24_000, 1), (48_000, 2)])
def test_every_sample_format_becomes_mono_24k(form, subtype, close, rate, channels):
    audio = read_audio(packed(tone(rate, channels=channels), rate, subtype, form), where="a.wav")
    assert audio.samples.dtype == np.float32 and audio.samples.shape == (12_000,)
    assert (audio.source_rate, audio.channels, audio.subtype) == (rate, channels, subtype)
    middle = slice(500, -500)
    np.testing.assert_allclose(audio.samples[middle], tone(24_000)[middle, 0], atol=close)


@pytest.mark.parametrize(
    "rate", [8000, 11_025, 16_000, 22_050, 32_000, 44_100, 96_000, 192_000, 23_999]
)
def test_every_rate_keeps_the_tone(rate):
    audio = read_audio(packed(tone(rate), rate, "FLOAT"), where="a.wav")
    assert abs(len(audio.samples) - 12_000) <= 2
    middle = slice(500, 11_000)
    np.testing.assert_allclose(audio.samples[middle], tone(24_000)[middle, 0], atol=5e-3)


def test_what_we_write_is_read_bit_for_bit():
    samples = np.random.default_rng(0).normal(0, 0.1, 2400).astype(np.float32)
    assert read_audio(write_wav(samples), where="a").samples.tobytes() == samples.tobytes()


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "not a readable"),
        (b"RIFF1234WAVE", "not a readable"),
        (packed(np.zeros((0, 1)), 24_000, "PCM_16"), "no samples"),
        (packed(np.array([0.0, np.nan]), 24_000, "FLOAT"), "sample 1 is nan"),
        (packed(np.array([0.0, np.inf]), 24_000, "FLOAT"), "sample 1 is inf"),
        (packed(np.zeros(10), 100, "PCM_16"), "100 Hz"),
    ],
    ids=["nothing", "cut", "empty", "nan", "inf", "slow"],  # the bytes carry a time of writing
)
def test_bad_sound_is_refused(data, problem):
    with pytest.raises(BadInput, match=problem) as caught:
        read_audio(data, where="a.wav")
    assert caught.value.then


@settings(max_examples=150, deadline=2000)
@given(st.integers(0, 200), st.binary(max_size=12))
def test_mutilated_sound_is_read_or_refused(at, junk):
    data = bytearray(packed(tone(24_000, 0.01), 24_000, "PCM_16"))
    data[at : at + len(junk)] = junk
    try:
        audio = read_audio(bytes(data), where="a.wav")
    except BadInput:
        return
    assert np.isfinite(audio.samples).all() and len(audio.samples)


def test_no_time_of_writing_is_in_the_bytes() -> None:
    samples = np.linspace(-0.5, 0.5, 300, dtype=np.float32)
    plain, data = packed(samples, 24_000, "FLOAT"), write_wav(samples)
    at = plain.index(b"PEAK") + 12
    assert any(plain[at : at + 4]) and not any(data[at : at + 4])
    assert data[:at] + plain[at : at + 4] + data[at + 4 :] == plain


def test_a_broadcast_wave_is_pcm_16_that_says_its_samples_since_midnight() -> None:
    samples = np.linspace(-1.2, 1.2, 1600).astype(np.float32)
    data = write_broadcast_wav(samples, Timecode(86_400 * NS_PER_S + 10 * NS_PER_S, 3), "a show")
    with soundfile.SoundFile(io.BytesIO(data)) as file:
        assert (file.samplerate, file.channels, file.subtype) == (24_000, 1, "PCM_16")
        read = file.read(dtype="float64")
    assert len(read) == 1600 and np.abs(read - samples.clip(-1, 1)).max() <= 1.01 / 32768
    at = data.index(b"bext")
    size, reference = struct.unpack_from("<I", data, at + 4)[0], data[at + 8 + 338 :]
    assert size == 602 and at < data.index(b"data")
    assert struct.unpack_from("<Q", reference)[0] == (10 * 30 + 3) * 800
    assert data[at + 8 + 320 : at + 8 + 338] == b"1970-01-0200:00:10"
