"""An operator's act is an input: it changes the frames from then on, and the replay makes the same."""

from pathlib import Path

import numpy as np
import pytest

from greenroom.contracts import Packet
from greenroom.errors import BadInput
from greenroom.live.control import ACTS, CUT, HELD, NOTHING, act_of, controlled, record_control
from greenroom.live.engine import Engine
from greenroom.live.loaded_model import LoadedModel
from greenroom.live.performer import Performer
from greenroom.live.replay import Replayer
from greenroom.live.ring import Ring, rung_of
from greenroom.services.shows import control_show
from greenroom.store.workspace import Workspace
from tests import examples
from tests.live.stand_in import SHAPE, FakeModel, body_packet, role, sound_packet
from tests.live.test_engine import VirtualClock


class Sways:
    """A body and a voice at each tick."""

    def __init__(self) -> None:
        self.tick = -1

    def poll(self, now_ns: int) -> list[Packet]:
        self.tick += 1
        packets = body_packet(self.tick), sound_packet(self.tick)
        return [Packet(now_ns, data) for data in packets]

    def close(self) -> None:
        pass


def test_acts_set_and_clear_their_own_bit() -> None:
    state = NOTHING
    for act, wanted in (("hold", HELD), ("cut", HELD | CUT), ("resume", CUT), ("restore", NOTHING)):
        state = controlled(state, act)
        assert state == wanted
    assert all(controlled(controlled(0, act), act) == controlled(0, act) for act in ACTS)


def test_acts_change_the_next_frame_and_replay_exactly(tmp_path: Path) -> None:
    ring = Ring(tmp_path / "ring", SHAPE, create=True)
    performer = Performer(role(), FakeModel(confidence=0.2), 0)
    engine = Engine(performer, Sways(), [], ring, VirtualClock())
    acts = {20: "hold", 40: "resume", 60: "cut", 80: "hold", 90: "restore", 100: "resume"}
    for tick in range(120):
        if tick in acts:
            engine.control = controlled(engine.control, acts[tick])
        engine.tick(tick, late=False)
    rows, _, _ = ring.read(0)
    sources = [rung_of(row) for row in rows]
    assert sources[:20] == ["capture"] * 20 and sources[20:40] == ["hold"] * 20
    assert sources[40:60] == ["capture"] * 20 and sources[60:80] == ["speech"] * 20
    assert sources[80:100] == ["hold"] * 20 and sources[100:] == ["capture"] * 20
    assert rows[25]["reason"] == b"held by the operator"
    part = LoadedModel(role(), FakeModel(confidence=0.2))
    again = Replayer(lambda index: part, examples.show("0" * 64))
    for row in rows:
        assert again.step(row)[1:] == ([], []), int(row["tick"])
    ring.close()


def test_only_acts_on_this_actor_count(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "home")
    record_control(workspace, "mira", "cut", "ada")
    workspace.log.append("control", {"actor": "mira", "act": "explode"}, by="eve")
    workspace.log.append("note", {"actor": "mira", "act": "hold"}, by="eve")
    acts = [act_of(entry, "mira") for entry in workspace.log.entries()]
    assert [act for act in acts if act] == ["cut"]
    assert [act_of(entry, "ada") for entry in workspace.log.entries()] == [None] * len(acts)


def test_without_a_show_there_is_nothing_to_control(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "home")
    with pytest.raises(BadInput, match="no show of 'mira' is on"):
        control_show(workspace, "mira", "hold", "ada")
    assert np.size(workspace.log.entries()) == 0
