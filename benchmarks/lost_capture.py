"""What a performer does when capture is lost: floor, feet, tilt, speeds, and the way back.

    python benchmarks/lost_capture.py [RECORDING …]

Without recordings it cuts the embedded test clips. Each cut lasts a third of its recording, four seconds
at least and ten at most, and the embedded release performs. With `--quiet` it prints instead how fast
wrists and chest are in the seconds in which people in the recordings stand quietly: hips under 6 cm/s,
feet under 5 cm/s, wrists under 25 cm/s.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from greenroom import embedded
from greenroom.capture.discovery import InputFiles
from greenroom.capture.packets import TakePlayer
from greenroom.capture.readers import Refusal
from greenroom.capture.skeleton.mapping import AUTOMATIC
from greenroom.clock import TICK_HZ, tick_ns
from greenroom.frames import BONE, Array, Body
from greenroom.live.performer import Performer
from greenroom.live.playlist import open_playlist
from greenroom.registry.release import Release, load_release
from greenroom.render.mannequin import View, draw, shape_of
from greenroom.rotations import rotate
from greenroom.serving import DEFAULT_BACKEND, open_backend
from greenroom.store.workspace import Workspace

FEET = [BONE["leftFoot"], BONE["rightFoot"]]
WRISTS = [BONE["leftHand"], BONE["rightHand"]]
CHEST = BONE["upperChest"]
LAST = BONE["rightToes"] + 1
AFTER = 60


def places_of(body: Body) -> Array:
    """Return where the bones are (T, 22, 3), metres, without fingers, eyes and jaw."""
    local = body.skeleton.rest_translations(len(body), body.root)
    return body.skeleton.world(local, body.filled())[0][:, :LAST]


def speeds(places: Array) -> Array:
    """Return metres a second (T - 1, J)."""
    return TICK_HZ * np.linalg.norm(np.diff(places, axis=0), axis=-1)


def by_second(moving: Array) -> Iterator[Array]:
    """Yield the mean speed of each joint in each whole second."""
    for start in range(0, len(moving) - TICK_HZ + 1, TICK_HZ):
        yield moving[start : start + TICK_HZ].mean(axis=0)


def extended(body: Body, ticks: int) -> Body:
    """Return a body that stands on in its last pose until it is long enough."""
    rows = np.minimum(np.arange(max(ticks, len(body))), len(body) - 1)
    return Body(body.skeleton, body.root[rows], body.rotations[rows], body.validity[rows])


def perform(release: Release, body: Body, cut: tuple[int, int]) -> tuple[Body, list[str]]:
    """Return what is performed of a body with a cut, and the source of each frame."""
    player = TakePlayer(body, None, cuts=[cut])
    backend = open_backend(DEFAULT_BACKEND, release.graph, release.role.shape)
    performer = Performer(release.role, backend, 0)
    roots, turns, sources = [], [], []
    for tick in range(min(len(body), cut[1] + AFTER)):
        result = performer.step(tick, player.poll(tick_ns(tick)), late=False)
        roots.append(result.frame.root)
        turns.append(result.frame.rotations)
        sources.append(result.rung)
    rotations = np.stack(turns)
    valid = np.ones(rotations.shape[:2], dtype=np.float32)
    return Body(release.skeleton, np.stack(roots), rotations, valid), sources


def measure(release: Release, name: str, body: Body) -> None:
    """Print one line for each cut of a recording."""
    length = min(10 * TICK_HZ, max(4 * TICK_HZ, len(body) // 3))
    for first in (len(body) * 3 // 10, len(body) * 6 // 10):
        cut = first, first + length
        source = extended(body, cut[1] + AFTER)
        shown, sources = perform(release, source, cut)
        ours, theirs = places_of(shown), places_of(source)[: len(shown)]
        gap, back = slice(first, cut[1]), slice(cut[1], cut[1] + AFTER)
        settled = slice(first + TICK_HZ, cut[1] - 1)
        moving = speeds(ours)
        up = rotate(shown.rotations[:, 0], np.tile([0.0, 1.0, 0.0], (len(shown), 1)))[:, 1]
        tilt = np.degrees(np.arccos(np.clip(up, -1, 1)))[settled].max()
        root = moving[cut[1] - 1 :, 0]
        own = speeds(theirs)[cut[1] :, 0]
        seconds = list(by_second(moving[settled]))
        wrists = 100 * np.asarray([second[WRISTS].mean() for second in seconds])
        chest = 100 * np.asarray([second[CHEST] for second in seconds])
        jerk = TICK_HZ**3 * np.linalg.norm(np.diff(ours, n=3, axis=0), axis=-1)
        own_jerk = TICK_HZ**3 * np.linalg.norm(np.diff(theirs[cut[1] :], n=3, axis=0), axis=-1)
        print(
            f"{name[-28:]:28} {first:5}-{cut[1]:<5} lowest {100 * ours[gap, :, 1].min():+5.1f} cm,"
            f" on the way back {100 * ours[back, :, 1].min():+5.1f}"
            f" (captured {100 * theirs[back, :, 1].min():+5.1f});"
            f" feet {100 * np.median(moving[settled][:, FEET]):.1f} cm/s, tilt {tilt:2.0f}°,"
            f" root back {root.max():.2f} m/s (captured {own.max():.2f}),"
            f" wrists {wrists.min():.1f}-{wrists.max():.1f},"
            f" chest {chest.min():.1f}-{chest.max():.1f} cm/s,"
            f" jerk back {jerk[cut[1] - 3 :].max():.0f}"
            f" (captured {own_jerk.max():.0f}) of {np.percentile(jerk[: first - 3], 99):.0f} m/s³;"
            f" {', '.join(sorted(set(sources[gap])))}"
        )


def quiet_speeds(bodies: list[tuple[str, Body]]) -> None:
    """Print the 5th, 50th and 95th percentile of quiet seconds."""
    wrists, chest = [], []
    for _, body in bodies:
        for second in by_second(speeds(places_of(body))):
            if second[0] < 0.06 and second[FEET].mean() < 0.05 and second[WRISTS].mean() < 0.25:
                wrists.append(second[WRISTS].mean())
                chest.append(second[CHEST])
    for name, values in (("wrists", wrists), ("chest", chest)):
        shares = 100 * np.percentile(values, [5, 50, 95])
        print(f"{name}: {len(values)} quiet seconds, {shares.round(1).tolist()} cm/s")


def draw_strip(release: Release, body: Body, path: Path) -> None:
    """Draw moments of a cut in the middle of a body, from the front at the same place."""
    cut = len(body) // 2, len(body) // 2 + 10 * TICK_HZ
    shown, _ = perform(release, extended(body, cut[1] + AFTER), cut)
    ends, radii = shape_of(shown)
    moments = [cut[0] + k for k in (-8, 0, 4, 8, 14, 24, 60, 120, 200, 280)]
    moments += [cut[1] + k for k in (8, 20)]
    pictures = []
    for tick in moments:
        x, _, z = shown.root[tick].tolist()
        view = View(200, 340, scale=175.0, centre=(x, 0.88, z), yaw=20.0)
        pictures.append(draw(ends[tick], radii, view, 0.0))
    Image.fromarray(np.concatenate(pictures, axis=1)).save(path, optimize=True)


def main() -> None:
    """Read the recordings, and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recordings", nargs="*", type=Path)
    parser.add_argument("--quiet", action="store_true")
    parser.add_argument("--picture", type=Path, help="draw the first one's cut into this PNG")
    parser.add_argument("--most", type=int, default=6, help="recordings, spread over all")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        workspace = Workspace(Path(home))
        release = load_release(workspace, embedded.install(workspace))
        clips = embedded.ingest_clips(workspace, "benchmark")
        recorded = [
            (recording.path, recording.body)
            for recording in InputFiles(options.recordings, AUTOMATIC)
            if not isinstance(recording, Refusal) and recording.body is not None
        ]
        bodies = recorded[:: max(1, len(recorded) // options.most)][: options.most]
        if not options.recordings:
            takes = [clips[name] for name in embedded.TEST]
            body = open_playlist(workspace, takes, 900).body()
            assert body is not None
            bodies = [("embedded test clips", body)]
        if options.quiet:
            quiet_speeds(recorded)
            return
        if options.picture is not None:
            draw_strip(release, bodies[0][1], options.picture)
            return
        for name, body in bodies:
            measure(release, name, body)


if __name__ == "__main__":
    main()
