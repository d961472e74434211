"""A challenger that nobody sees: what is said of it, and what it is sent away for."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from greenroom import embedded
from greenroom.capture.packets import encode_body
from greenroom.contracts import Packet
from greenroom.errors import BadInput
from greenroom.frames import BONE, BONES, Floats
from greenroom.live.ring import put_packets, slot_type
from greenroom.registry.promote import live_release
from greenroom.registry.release import Release, load_release
from greenroom.rehearsal.shadow import BUDGET_MS, WARM_TICKS, ShadowResult, rows_behind, shadow
from greenroom.rotations import from_vector
from greenroom.serving.onnx_backend import OnnxBackend
from greenroom.store.workspace import Workspace


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    workspace = Workspace(tmp_path_factory.mktemp("home"))
    embedded.install(workspace)
    return load_release(workspace, live_release(workspace, "mira"))


def rows(release: Release, ticks: int) -> Iterator[Any]:
    """A captured body that sways, emitted as it was captured."""
    validity = np.zeros(len(BONES), np.float32)
    validity[[BONE[name] for name in release.role.spec.joints]] = 1
    root = np.asarray([0, 0.9, 0], np.float32)
    for tick in range(ticks):
        turn = np.asarray([0.2 * np.sin(tick / 9), 0, 0], np.float32)
        rotations = np.tile(from_vector(turn), (len(BONES), 1)).astype(np.float32)
        row: Any = np.zeros((), slot_type(release.role.shape))
        row["tick"], row["rotations"] = tick, rotations
        put_packets(row, [Packet(0, encode_body(tick, root, rotations, validity, 0))])
        yield row


class Breaks(OnnxBackend):
    """Says no number from a tick on."""

    def __init__(self, release: Release, tick: int) -> None:
        super().__init__(release.graph, release.role.shape)
        self.left = tick

    def run(self, inputs: dict[str, Floats]) -> dict[str, Floats]:
        said = super().run(inputs)
        self.left -= 1
        return said if self.left >= 0 else {n: v * np.float32("nan") for n, v in said.items()}


def test_what_was_captured_whole_is_said_again(release: Release) -> None:
    backend = OnnxBackend(release.graph, release.role.shape)
    found = shadow(rows(release, 120), True, release.role, backend)
    assert (found.ticks, found.live, found.broken) == (120 - WARM_TICKS, True, 0)
    assert found.apart_deg < 0.5 and 0 < found.confidence < 1 and found.model_ms > 0
    assert found.objection() == "" and set(found.json()) >= {"model_ms", "apart_deg"}


def test_a_model_that_says_no_number_is_sent_away(release: Release) -> None:
    found = shadow(rows(release, 120), False, release.role, Breaks(release, 100))
    assert found.broken == 20
    assert found.objection() == "its model said no number at 20 of 75 ticks"


def test_one_that_takes_too_long_is_sent_away() -> None:
    slow = ShadowResult(75, True, 0, BUDGET_MS + 1, 0.1, 0.9)
    assert slow.objection() == "its model takes 16.0 ms, more than 15"


def test_too_little_to_judge_by_is_told(release: Release, tmp_path: Path) -> None:
    backend = OnnxBackend(release.graph, release.role.shape)
    with pytest.raises(BadInput, match="5 ticks are too few"):
        shadow(rows(release, WARM_TICKS + 5), False, release.role, backend)
    with pytest.raises(BadInput, match="has performed no show to follow"):
        rows_behind(Workspace(tmp_path), "mira", 100)
