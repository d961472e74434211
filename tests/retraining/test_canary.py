"""A release on trial, watched through a ring that a thread fills as a show would."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from greenroom import embedded
from greenroom.capture.packets import encode_body
from greenroom.contracts import Packet, get_tensors
from greenroom.frames import BONES
from greenroom.live.ring import Ring, put_packets, slot_type
from greenroom.live.show_notice import ShowNotice
from greenroom.live.sources import CAPTURE, HOLD, RUNGS
from greenroom.registry.approval import sign_approval
from greenroom.registry.promote import live_release
from greenroom.registry.release import Release, load_release
from greenroom.retraining import canary as trials
from greenroom.store.workspace import Workspace
from tests import examples
from tests.people import with_key

Frame = Callable[[int, bool], tuple[float, str]]


class Show:
    """Fills a ring, many ticks at a time; `frame` says confidence and rung of (tick, on trial)."""

    def __init__(self, workspace: Workspace, releases: list[Release], frame: Frame) -> None:
        self.shape = releases[0].role.shape
        self.ring = Ring(workspace.home / "ring", self.shape, create=True)
        self.releases, self.frame = releases, frame
        self.notice = ShowNotice(workspace.home, "mira")
        self.notice.put(self.ring, releases)
        self.trying = self.ended = False
        self.left: int | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def begin(self) -> None:
        self.trying = True

    def _run(self) -> None:
        tick = 0
        while not self.ended:
            for _ in range(60):
                self._write(tick)
                tick += 1
            time.sleep(0.11)

    def _write(self, tick: int) -> None:
        row: Any = np.zeros((), slot_type(self.shape))
        trying = self.trying and (self.left is None or tick < self.left)
        sure, rung = self.frame(tick, trying)
        row["tick"], row["asked"], row["release"] = tick, True, int(trying)
        row["rung"], row["followed"], row["previous"] = RUNGS.index(rung), -1, -1
        outputs = get_tensors(row["outputs"], self.shape.outputs())
        outputs["confidence"][:] = sure
        inputs = get_tensors(row["inputs"], self.shape.inputs())
        inputs["valid"][:] = 1
        still = np.tile(np.asarray([0, 0, 0, 1], np.float32), (len(BONES), 1))
        whole = np.ones(len(BONES), np.float32)
        data = encode_body(tick, np.zeros(3, np.float32), still, whole, 0)
        put_packets(row, [Packet(0, data)])
        self.ring.write(row)

    def close(self) -> None:
        self.ended = True
        self._thread.join()
        self.notice.take_down()


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[tuple[Workspace, list[Release], list[Show]]]:
    workspace = Workspace(tmp_path)
    embedded.install(workspace)
    champion = load_release(workspace, live_release(workspace, "mira"))
    name = workspace.publish(
        examples.noted_release(workspace, champion.name, "challenger"), by="test"
    )
    sign_approval(workspace, name, with_key(workspace, "test"))
    shows: list[Show] = []
    yield workspace, [champion, load_release(workspace, name)], shows
    for show in shows:
        show.close()


def tried(stage: Any, frame: Frame, seconds: float = 20, **changes: Any) -> str | None:
    workspace, releases, shows = stage
    show = Show(workspace, releases, frame)
    shows.append(show)
    for name, value in changes.items():
        setattr(show, name, value)
    return trials.watch_canary(workspace, "mira", releases[1].name, seconds, show.begin)


def test_a_release_that_does_as_well_may_stay(stage: Any) -> None:
    assert tried(stage, lambda tick, trying: (0.9 + 0.02 * np.sin(tick / 50), CAPTURE)) == ""


def test_one_that_is_less_sure_has_to_leave_and_so_has_one_that_holds(stage: Any) -> None:
    said = tried(stage, lambda tick, trying: (0.5 if trying else 0.9, CAPTURE))
    assert said is not None and "confidence is lower" in said


def test_one_that_stumbles_has_to_leave(stage: Any) -> None:
    said = tried(stage, lambda tick, trying: (0.9, HOLD if trying and tick % 20 == 0 else CAPTURE))
    assert said is not None and "no numbers" in said


def test_one_that_leaves_the_stage_by_itself_is_no_champion(stage: Any) -> None:
    workspace, releases, shows = stage
    said = tried(stage, lambda tick, trying: (0.9, CAPTURE), 60, left=1500)
    assert said is not None and "left the stage" in said


def test_where_no_show_is_on_nothing_is_tried(stage: Any) -> None:
    workspace, releases, _ = stage
    begun: list[int] = []
    found = trials.watch_canary(workspace, "mira", releases[1].name, 5, lambda: begun.append(1))
    assert found is None and begun == []


def test_a_show_that_ends_says_nothing_for_it(stage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace, releases, shows = stage
    monkeypatch.setattr(trials, "_SILENT_S", 0.5)
    show = Show(workspace, releases, lambda tick, trying: (0.9, CAPTURE))
    shows.append(show)

    def begin() -> None:
        show.begin()
        show.ended = True

    with pytest.raises(trials.CanaryInterrupted, match="ended before the trial was over"):
        trials.watch_canary(workspace, "mira", releases[1].name, 60, begin)


def test_one_that_never_comes_is_not_waited_for(
    stage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, releases, shows = stage
    monkeypatch.setattr(trials, "COMES_S", 0.5)
    shows.append(Show(workspace, releases, lambda tick, trying: (0.9, CAPTURE)))
    said = trials.watch_canary(workspace, "mira", releases[1].name, 60, lambda: None)
    assert said == "it did not come on stage"
