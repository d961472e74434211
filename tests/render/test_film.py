"""Pictures of a performance, and the film of them with its voice."""

import io
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from greenroom.capture.formats.wav import write_broadcast_wav
from greenroom.clock import NS_PER_S, Timecode
from greenroom.errors import GreenroomError
from greenroom.render.film import find_encoder, pictures_of, png_of, write_mp4
from tests.capture.formats.performed import asymmetric

SIZE = (48, 64)
TIMECODE = Timecode(3600 * NS_PER_S)


def test_there_is_a_picture_a_tick_in_which_the_performer_stays() -> None:
    body = asymmetric(9)
    body.root[:, 0] += np.arange(9) * 0.4  # walks off sideways; the camera goes along
    drawn = list(pictures_of(body, SIZE))
    assert len(drawn) == 9 and {picture.shape for picture in drawn} == {(64, 48, 3)}
    assert all(picture.max() > 150 for picture in drawn)
    with Image.open(io.BytesIO(png_of(drawn[0], "01:00:00:00"))) as image:
        assert image.info["Timecode"] == "01:00:00:00" and np.array_equal(image, drawn[0])


def test_a_film_has_every_picture_its_sound_and_its_timecode(tmp_path: Path) -> None:
    pytest.importorskip("imageio_ffmpeg")
    dark, light = np.zeros((64, 48, 3), np.uint8), np.full((64, 48, 3), 255, np.uint8)
    pictures = [light if tick in (15, 45) else dark for tick in range(60)]
    sound = np.zeros((60, 800), np.float32)
    sound[[15, 45]] = 0.5 * np.sin(np.arange(800) / 4)  # a flash and a beep at the same ticks
    path = tmp_path / "a.mp4"
    write_mp4(path, pictures, write_broadcast_wav(sound.ravel(), TIMECODE), TIMECODE, SIZE)
    command = [find_encoder(), "-v", "error", "-i", str(path)]
    raw = subprocess.run([*command, *"-f rawvideo -pix_fmt gray -".split()], capture_output=True)
    shown = np.frombuffer(raw.stdout, np.uint8).reshape(-1, 64 * 48).mean(axis=1)
    assert len(shown) == 60 and np.flatnonzero(shown > 128).tolist() == [15, 45]
    raw = subprocess.run([*command, *"-f f32le -ac 1 -".split()], capture_output=True)
    heard = np.frombuffer(raw.stdout, "<f4")
    loud = np.flatnonzero(np.abs(heard) > 0.2)
    starts = loud[np.flatnonzero(np.diff(loud, prepend=-9999) > 1000)]
    assert len(starts) == 2 and np.abs(starts - np.asarray([15, 45]) * 800).max() < 60  # 2.5 ms
    notes = subprocess.run([find_encoder(), "-i", str(path)], capture_output=True, text=True).stderr
    assert "timecode        : 01:00:00:00" in notes and "30 fps" in notes


def test_what_the_encoder_says_is_the_error(tmp_path: Path) -> None:
    pytest.importorskip("imageio_ffmpeg")
    with pytest.raises(GreenroomError, match="ffmpeg failed"):
        write_mp4(tmp_path / "a.mp4", [], b"no sound", TIMECODE, SIZE)
