"""Shows as a service: what a request needs, and what a demo's replay has to be."""

from contextlib import nullcontext
from pathlib import Path

import pytest

from greenroom import embedded
from greenroom.demo.program import ProgramRequest
from greenroom.errors import BadInput, CheckFailed
from greenroom.live.show import ShowResult
from greenroom.services.demo import DemoResult
from greenroom.services.replays import ReplayResult, replay_show
from greenroom.services.show_results import replay_line
from greenroom.services.show_session import read_outputs, require_no_loop
from greenroom.store.workspace import Workspace


@pytest.mark.parametrize("exact", [90, 89])
def test_a_demo_fails_where_a_frame_differs(exact: int) -> None:
    counts = {"ticks": 90, "frames": 90, "missed": 0}
    replay = {**counts, "exact": exact, "class": "EXACT", "first_difference": "frame 3"}
    result = DemoResult(ShowResult("0" * 64, counts, {}), replay)
    kind = "EXACT" if exact == 90 else "DIFFERENT"
    assert replay_line(replay) == f"replay in a fresh process: bit-exact {exact}/90 ({kind})"
    assert result.is_exact == (exact == 90)
    if exact == 90:
        result.check()
        return
    with pytest.raises(CheckFailed, match="the replay differs: frame 3"):
        result.check()


def test_a_stage_that_was_dark_is_no_success() -> None:
    counts = {"ticks": 900, "frames": 832, "missed": 68}
    replay = {**counts, "exact": 832, "class": "EXACT", "first_difference": None}
    assert replay_line(replay).endswith("bit-exact 832/832 (EXACT, 68 of 900 ticks missed)")
    with pytest.raises(CheckFailed, match="68 of 900 ticks missed"):
        DemoResult(ShowResult("0" * 64, counts, {}), replay).check()


def test_recordings_need_their_style_and_rights() -> None:
    ProgramRequest().check()
    ProgramRequest([Path("a")], "new", "x_{style}", "p", "MIT").check()
    with pytest.raises(BadInput, match="--new-style"):
        ProgramRequest([Path("a")], None, "x_{style}", "p", "MIT").check()


def test_a_replay_has_something_to_do(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    embedded.install(workspace)
    with pytest.raises(BadInput, match="no show|show"):
        replay_show(workspace, "0" * 64, progress=None)
    assert not ReplayResult(None, None).differs


@pytest.mark.parametrize(
    ("receivers", "sinks", "loops"),
    [
        (["vmc://:39540"], ["vmc://127.0.0.1:39540"], True),
        (["vmc://0.0.0.0:4000?allow=10.0.0.0/8"], ["vmc://localhost:4000"], True),
        (["vmc://"], ["vmc://[::1]:39540"], True),
        (["vmc://:39540"], ["vmc://127.0.0.1:39539"], False),
        (["vmc://:39540"], ["vmc://10.0.0.7:39540"], False),
        (["livelink://:39540"], ["vmc://127.0.0.1:39540"], False),
    ],
)
def test_an_output_that_feeds_its_own_input_is_refused(
    receivers: list[str], sinks: list[str], loops: bool
) -> None:
    with pytest.raises(BadInput, match="receive what it sends") if loops else nullcontext():
        require_no_loop(receivers, sinks)


def test_an_output_that_is_given_twice_is_refused() -> None:
    with pytest.raises(BadInput, match="given twice"):
        read_outputs(["vmc://127.0.0.1:39539", "vmc://127.0.0.1:39539"])
