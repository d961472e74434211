"""A show that no engine performed: rows as a recorder takes them, with a face and a voice of our own."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from greenroom import embedded
from greenroom.capture.packets import encode_audio
from greenroom.clock import NS_PER_S
from greenroom.contracts import Packet
from greenroom.frames import ARKIT, SAMPLES_PER_TICK, Floats
from greenroom.live.recorder import Recorder
from greenroom.live.ring import put_packets, slot_type
from greenroom.manifests import ShowParents
from greenroom.registry.release import load_release
from greenroom.store.workspace import Workspace
from tests import examples
from tests.capture.formats.performed import asymmetric

STARTED = 20_000 * 86_400 * NS_PER_S + 21 * 3600 * NS_PER_S + 100_000_000


def voice(tick: int) -> Floats:
    """A ramp that is another one at each tick, far from clipping."""
    return np.linspace(0, 0.4, SAMPLES_PER_TICK, dtype=np.float32) * np.float32(
        0.5 + tick % 50 / 100
    )


def record_show(
    workspace: Workspace,
    ticks: Sequence[int],
    sounds: Callable[[int], list[Floats]] = lambda tick: [voice(tick)],
    face: bool = True,
    **more: Any,
) -> str:
    """Record a show whose frame at tick t is frame t of `asymmetric`; return its hash."""
    name = embedded.install(workspace)
    shape = load_release(workspace, name).role.shape
    body = asymmetric(max(ticks) + 1)
    recorder = Recorder(workspace)
    for tick in ticks:
        row = np.zeros((), dtype=slot_type(shape))
        row["tick"], row["root"], row["rotations"] = tick, body.root[tick], body.rotations[tick]
        row["face"] = np.linspace(0, 1, len(ARKIT)) if face else np.nan
        put_packets(row, [Packet(0, encode_audio(tick, sound)) for sound in sounds(tick)])
        recorder.take(row)
    more.setdefault("parents", ShowParents(releases=[name]))
    show = examples.show(name, started_utc_ns=str(more.pop("started", STARTED)), **more)
    return recorder.finish(show, "test")
