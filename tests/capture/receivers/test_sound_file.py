from pathlib import Path

import numpy as np
import pytest
import soundfile

from greenroom.capture.packets import newest
from greenroom.capture.receivers import open_receiver
from greenroom.clock import tick_ns
from greenroom.errors import BadInput
from greenroom.testing import check_receiver


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Half a second of silence and a tone of 440 Hz, at 48 kHz."""
    seconds = np.arange(96_000) / 48_000
    tone = 0.5 * np.sin(2 * np.pi * 440 * seconds) * (seconds >= 0.5)
    soundfile.write(tmp_path / "voice.wav", tone, 48_000)
    return tmp_path / "voice.wav"


def test_it_plays_in_real_time_at_24_khz(file: Path) -> None:
    receiver = open_receiver(f"wav:{file}", None)  # type: ignore[arg-type]
    sounds = [newest(receiver.poll(tick_ns(tick))).sound for tick in range(62)]
    assert all(sound is not None for sound in sounds[:60]) and sounds[60:] == [None, None]
    loud = [sound is not None and float(np.abs(sound).max()) > 0.1 for sound in sounds]
    assert loud.index(True) == 15
    heard = np.concatenate([sound for sound in sounds[20:50] if sound is not None])
    spectrum = np.abs(np.fft.rfft(heard))
    assert np.argmax(spectrum) * 24_000 / len(heard) == pytest.approx(440, abs=1)


def test_who_takes_over_begins_where_the_show_is(file: Path) -> None:
    whole = open_receiver(f"wav:{file}", None).poll(tick_ns(40))  # type: ignore[arg-type]
    later = open_receiver(f"wav:{file}", None, 30).poll(tick_ns(40))  # type: ignore[arg-type]
    assert [p.data for p in later] == [p.data for p in whole[30:]]


def test_a_file_that_is_none_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    for name in ("a.wav", "b.wav"):
        with pytest.raises(BadInput, match=name):
            open_receiver(f"wav:{tmp_path / name}", None)  # type: ignore[arg-type]


def test_it_conforms(file: Path) -> None:
    check_receiver(lambda: open_receiver(f"wav:{file}", None))  # type: ignore[arg-type]
