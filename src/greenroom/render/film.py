"""Draw a performance tick by tick: a PNG a tick, or an MP4 with its voice, by the mannequin."""

from __future__ import annotations

import io
import os
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from scipy.ndimage import gaussian_filter1d

from greenroom.clock import TICK_HZ, Timecode
from greenroom.errors import GreenroomError
from greenroom.extras import require
from greenroom.frames import Body
from greenroom.render.mannequin import Picture, draw, floor_of, frame_all, shape_of

SIZE = (360, 480)
"""Width and height, pixels; both even, as H.264 needs them."""


def pictures_of(body: Body, size: tuple[int, int] = SIZE) -> Iterator[Picture]:
    """Yield a picture (height, width, 3) a tick; the camera goes along with the smoothed way.

    Args:
        body: what is drawn; its lowest point in all its ticks is the floor.
        size: width and height, pixels.
    """
    ends, radii = shape_of(body)
    floor = floor_of(ends, radii)
    way = gaussian_filter1d(body.root.astype(np.float64), 10, axis=0, mode="nearest")
    way[:, 1] = 0
    ends -= way[:, None, None]
    view = frame_all(ends, size, floor)
    for pose in ends:
        yield draw(pose, radii, view, floor)


def png_of(drawn: Picture, timecode: str) -> bytes:
    """Return a picture as a PNG with its timecode as text."""
    notes = PngInfo()
    notes.add_text("Timecode", timecode)
    out = io.BytesIO()
    Image.fromarray(drawn).save(out, "PNG", pnginfo=notes)
    return out.getvalue()


def read_picture(path: Path) -> Picture:
    """Return a picture of :func:`png_of`, as it was drawn."""
    with Image.open(path) as image:
        drawn: Picture = np.asarray(image.convert("RGB"))
    return drawn


def find_encoder() -> str:
    """Return the path of ffmpeg, a program that runs by itself.

    Raises:
        MissingExtra: `video` is not installed.
    """
    return str(require("imageio_ffmpeg", "video", "mp4").get_ffmpeg_exe())


def write_mp4(
    path: Path, pictures: Iterable[Picture], voice: bytes, timecode: Timecode, size: tuple[int, int]
) -> None:
    """Write pictures and a voice as an MP4: H.264, AAC, and a track of timecode.

    Args:
        path: the file.
        pictures: (height, width, 3) each, 30 a second.
        voice: a WAV file that is as long.
        timecode: of the first picture.
        size: width and height, pixels, both even.

    Raises:
        MissingExtra: `video` is not installed.
        GreenroomError: the encoder failed.
    """
    encoder = find_encoder()
    with tempfile.TemporaryDirectory() as scratch, tempfile.TemporaryFile() as log:
        sound = Path(scratch) / "voice.wav"
        sound.write_bytes(voice)
        raw = f"-f rawvideo -pix_fmt rgb24 -s {size[0]}x{size[1]} -r {TICK_HZ} -i pipe:0".split()
        coded = "-c:v libx264 -preset veryfast -crf 18 -pix_fmt yuv420p -c:a aac -b:a 128k".split()
        command = [encoder, "-y", "-loglevel", "error", *raw, "-i", str(sound), *coded]
        command += ["-timecode", timecode.text(), "-movflags", "+faststart", "-f", "mp4", str(path)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log)
        assert process.stdin is not None
        try:
            for drawn in pictures:
                process.stdin.write(drawn.tobytes())
            process.stdin.close()
        except BrokenPipeError:  # it ended; its own words are below
            pass
        except BaseException:
            process.kill()
            raise
        finally:
            status = process.wait()
        log.seek(0)
        if status:
            message = log.read().decode("utf-8", "replace").strip().splitlines()
            raise GreenroomError(f"ffmpeg failed: {message[-1] if message else status}")
    with path.open("rb") as film:
        os.fsync(film.fileno())
