import math
import socket
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenroom.capture.receivers import datagrams, open_receiver, try_receiver
from greenroom.capture.receivers.datagrams import ReceiverCounts
from greenroom.capture.receivers.vmc import VmcDecoder
from greenroom.clock import tick_ns
from greenroom.errors import BadInput
from greenroom.frames import ARKIT, BONE, BONES, HUMANOID, Frame
from greenroom.live.sinks.vmc import VmcTemplate, unity_name
from greenroom.rotations import angle_between, normalise, to_matrix
from greenroom.testing import check_receiver
from tests.capture.receivers.senders import Line, bundle, decoded, free_port

HALF = math.sqrt(0.5)
OPTIONAL = ("chest", "upperChest", "neck", "leftShoulder", "rightShoulder")


def bone(name: str, position: tuple[float, ...] = (0.0, 0.1, 0.0), turn=(0.0, 0.0, 0.0, 1.0)):
    return "/VMC/Ext/Bone/Pos", [name, *position, *turn]


def pose(seconds: float = 1.0) -> list[bytes]:
    """A pose that no mirror leaves as it is: the left arm up, the head to the left, a step aside."""
    return [
        bundle(
            ("/VMC/Ext/Root/Pos", ["root", 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]),
            bone("Hips", (0.25, 0.9, 0.5)),
            bone("Spine"),
            bone("Head", turn=(0.0, -HALF, 0.0, HALF)),
            bone("LeftUpperArm", turn=(0.0, 0.0, -HALF, HALF)),
            bone("LeftThumbProximal", turn=(HALF, 0.0, 0.0, HALF)),
        ),
        bundle(
            ("/VMC/Ext/Blend/Val", ["A", 0.5]),
            ("/VMC/Ext/Blend/Val", ["Blink_L", 1.0]),
            ("/VMC/Ext/Blend/Val", ["MouthSmileRight", 0.25]),
            ("/VMC/Ext/Blend/Apply", []),
            ("/VMC/Ext/OK", [1]),
            ("/VMC/Ext/T", [seconds]),
        ),
    ]


@pytest.fixture
def line() -> Iterator[Line]:
    opened = Line("vmc")
    yield opened
    opened.close()


def test_an_asymmetric_pose_of_python_osc_arrives_as_it_is_meant(line: Line) -> None:
    line.send(*pose())
    body = line.poll().body
    assert body is not None
    np.testing.assert_allclose(body.root, [-0.25, 0.9, 0.5], atol=1e-6)
    turns = to_matrix(body.rotations.astype(np.float64))
    # Unity: -90° about +Z, seen left-handed, lifts the left arm, which lies on -X there.
    np.testing.assert_allclose(turns[BONE["leftUpperArm"]] @ [1, 0, 0], [0, 1, 0], atol=1e-6)
    # Unity: -90° about +Y looks to -X, which is the performer's left and our +X.
    np.testing.assert_allclose(turns[BONE["head"]] @ [0, 0, 1], [1, 0, 0], atol=1e-6)
    assert body.validity[BONE["leftThumbMetacarpal"]] == 1
    assert body.validity[BONE["leftThumbProximal"]] == body.validity[BONE["rightUpperArm"]] == 0


def test_bones_that_lie_between_and_are_not_sent_do_not_turn(line: Line) -> None:
    line.send(*pose())
    body = line.poll().body
    assert body is not None
    for name in OPTIONAL[:4]:
        assert body.rotations[BONE[name]].tolist() == [0, 0, 0, 1], name
    assert np.isnan(body.rotations[BONE["rightShoulder"]]).all()


def test_expressions_become_arkits_and_the_others_stay_missing(line: Line) -> None:
    line.send(*pose())
    face = line.poll().face
    assert face is not None
    weights = {n: w for n, w in zip(ARKIT, face.weights.tolist(), strict=True) if w == w}
    assert weights == {"jawOpen": 0.5, "eyeBlinkLeft": 1.0, "mouthSmileRight": 0.25}


def test_the_newest_pose_of_a_tick_wins_and_a_late_one_is_passed_over(line: Line) -> None:
    for seconds, x in ((1.0, 0.0), (1.1, 0.1), (1.05, 0.9)):
        line.send(bundle(bone("Hips", (x, 1.0, 0.0)), ("/VMC/Ext/T", [seconds])))
    body = line.poll().body
    assert body is not None and abs(body.root[0] + 0.1) < 1e-6
    assert (line.report["received"], line.report["reordered"]) == (3, 1)


def test_a_pose_holds_for_a_moment_and_is_then_lost(line: Line) -> None:
    line.send(*pose())
    first, held = line.poll().body, line.poll(ticks=4).body
    assert first is not None and held is not None
    assert first.first_of_clip and not held.first_of_clip
    assert line.poll(ticks=1).body is None and line.poll().face is None
    line.send(*pose(seconds=2.0))
    back = line.poll().body
    assert back is not None and back.first_of_clip


def test_a_sender_without_time_is_heard(line: Line) -> None:
    line.send(bundle(bone("Hips"), bone("Head")))
    assert line.poll().body is not None


@pytest.mark.parametrize("status", [[0], [1, 3, 0, 0]])
def test_who_says_that_nothing_is_tracked_gives_no_body(line: Line, status: list[int]) -> None:
    line.send(*pose(), bundle(("/VMC/Ext/OK", status)))
    assert line.poll().body is None


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e30])
def test_a_body_with_absurd_numbers_is_passed_over_and_counted(line: Line, bad: float) -> None:
    line.send(*pose())
    first = line.poll().body
    absurd = bundle(bone("Hips", (9.0, 0.9, 0.0)), bone("Head", (0.0, bad, 0.0)), bone("Spine"))
    line.send(absurd, bundle(("/VMC/Ext/T", [1.5])))
    after = line.poll().body
    assert first is not None and after is not None
    assert after.root.tolist() == first.root.tolist() and line.report["malformed"] == 1


def test_what_follows_a_bad_bone_is_passed_over_until_the_next_time(line: Line) -> None:
    line.send(*pose())
    first = line.poll().body
    line.send(bundle(bone("Hips"), bone("Head", (0.0, math.nan, 0.0))))
    line.send(bundle(bone("Spine", turn=(HALF, 0.0, 0.0, HALF)), ("/VMC/Ext/T", [1.5])))
    after = line.poll().body
    assert first is not None and after is not None
    np.testing.assert_array_equal(after.rotations, first.rotations)
    line.send(bundle(bone("Spine", turn=(HALF, 0.0, 0.0, HALF)), ("/VMC/Ext/T", [2.0])))
    good = line.poll().body
    assert good is not None and abs(good.rotations[BONE["spine"]][0]) > 0.5


def test_a_bad_bone_of_a_sender_without_time_spoils_its_tick_alone(line: Line) -> None:
    line.send(bundle(bone("Head", (0.0, math.nan, 0.0))))
    assert line.poll().body is None
    line.send(bundle(bone("Hips"), bone("Head")))
    assert line.poll().body is not None


def test_decoding_ends_in_time_and_is_never_more_than_a_tick_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def feed(data: bytes, now_ns: int) -> None:
        fed.append(data[0])

    fed: list[int] = []
    line = Line("vmc")
    line.receiver.decoder.feed = feed
    monkeypatch.setattr(datagrams.time, "thread_time_ns", lambda: 1_000_000 * len(fed))
    polls = []
    for tick in range(4):
        fed_before = len(fed)
        line.send(*(bytes([10 * tick + number]) for number in range(10 if tick < 3 else 0)))
        line.poll()
        polls.append((fed[fed_before:], line.report["lost"]))
    line.close()
    assert polls == [([0, 1, 2], 0), ([17, 18, 19], 14), ([20, 21, 22], 14), ([27, 28, 29], 18)]


def test_what_cannot_be_read_is_counted_and_the_next_is_heard(line: Line) -> None:
    line.send(b"", b"\0", b"hello", b"#bundle\0", pose()[0][:-3])
    line.send(bundle(bone("Hips", (0.0,)), ("/VMC/Ext/T", [0.5])))
    line.send(bundle(("/VMC/Ext/Blend/Val", ["A"])), bundle(("/Else/Where", [1])), *pose())
    assert line.poll().body is not None
    assert line.report["received"] == 10 and line.report["malformed"] == 7


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                ["Bone/Pos", "Root/Pos", "Blend/Val", "Blend/Apply", "OK", "T", "Unknown"]
            ),
            st.lists(
                st.one_of(
                    st.floats(width=32),
                    st.integers(-(2**31), 2**31 - 1),
                    st.sampled_from(["Hips", "Head", "A", "", "Joy", "jawOpen"]),
                    st.binary(min_size=1, max_size=4),
                    st.booleans(),
                ),
                max_size=9,
            ),
        ),
        max_size=6,
    )
)
def test_whatever_comes_nothing_but_a_value_error_is_raised(messages) -> None:
    decoder = VmcDecoder(ReceiverCounts())
    data = bundle(*((f"/VMC/Ext/{name}", arguments) for name, arguments in messages))
    try:
        decoder.feed(data, 0)
    except ValueError:
        pass
    for now in (0, 33_000_000):
        sample = decoded(decoder, now)
        if sample.rotations is not None and sample.validity is not None:
            trusted = sample.rotations[sample.validity > 0]
            np.testing.assert_allclose((trusted**2).sum(axis=1), 1, atol=1e-5)
        if sample.weights is not None:
            present = sample.weights[np.isfinite(sample.weights)]
            assert ((present >= 0) & (present <= 1)).all()


@given(st.binary(max_size=300))
def test_any_bytes_are_a_value_error(data: bytes) -> None:
    try:
        VmcDecoder(ReceiverCounts()).feed(data, 0)
    except ValueError:
        pass


def test_it_conforms() -> None:
    port, socket_ = free_port(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def feed(tick: int) -> None:
        for data in pose(tick / 30):
            socket_.sendto(data, ("127.0.0.1", port))

    url = f"vmc://:{port}"
    check_receiver(lambda: open_receiver(url, None), feed=feed)  # type: ignore[arg-type]
    socket_.close()


@pytest.mark.parametrize("seed", range(3))
def test_our_own_sink_arrives_within_a_tenth_of_a_degree(line: Line, seed: int) -> None:
    rng = np.random.default_rng(seed)
    sent = Frame(
        30,
        rng.normal(size=3).astype(np.float32),
        normalise(rng.normal(size=(55, 4))).astype(np.float32),
        rng.uniform(size=52).astype(np.float32),
    )
    line.send(*VmcTemplate(HUMANOID.offsets).fill(sent, 1.0))
    got = line.poll()
    assert got.body is not None and got.face is not None
    assert np.abs(got.body.root - sent.root).max() < 1e-3
    assert np.rad2deg(angle_between(got.body.rotations, sent.rotations)).max() < 0.1
    np.testing.assert_array_equal(got.face.weights, sent.face)


def test_every_bone_of_unity_is_known() -> None:
    decoder = VmcDecoder(ReceiverCounts())
    decoder.feed(bundle(*(bone(unity_name(name)) for name in BONES)), 0)
    decoder.feed(bundle(("/VMC/Ext/T", [0.0])), 0)
    sample = decoded(decoder)
    assert sample.validity is not None and sample.validity.tolist() == [1] * len(BONES)


def test_another_address_needs_a_list_of_senders() -> None:
    for url in ("vmc://0.0.0.0:39540", "vmc://192.168.1.5"):
        with pytest.raises(BadInput, match="--allow"):
            open_receiver(url, None)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="no network"):
        open_receiver("vmc://0.0.0.0?allow=house", None)  # type: ignore[arg-type]
    open_receiver("vmc://0.0.0.0?allow=10.0.0.0/8", None)  # type: ignore[arg-type]


def test_only_allowed_senders_are_heard() -> None:
    for networks, is_heard in (("10.0.0.0/8", False), ("10.0.0.0/8,127.0.0.0/8", True)):
        line = Line("vmc", f"?buffer=0&allow={networks}")
        line.send(*pose())
        assert (line.poll().body is not None) == is_heard
        assert line.report["refused"] == (0 if is_heard else 2)
        line.close()


def test_a_port_in_use_and_a_foreign_address_are_told_before_the_show() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        with pytest.raises(BadInput, match="cannot be listened at"):
            try_receiver(f"vmc://:{other.getsockname()[1]}", None)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="cannot be listened at"):
        try_receiver("vmc://192.0.2.7:39540?allow=10.0.0.0/8", None)  # type: ignore[arg-type]


@pytest.mark.parametrize("url", ["vmc://:0", "vmc://:70000", "vmc://:1?speed=3"])
def test_an_unusable_url_is_bad_input(url: str) -> None:
    with pytest.raises(BadInput):
        open_receiver(url, None)  # type: ignore[arg-type]


def test_decoding_ahead_of_a_tick_changes_nothing_of_what_it_gets(line: Line) -> None:
    other = Line("vmc")
    try:
        for tick in range(1, 8):
            for each in (line, other):
                each.send(*pose(tick / 30))
            line.receiver.prefetch(tick_ns(tick) - 8_000_000, 10**7)
            line.receiver.prefetch(tick_ns(tick) - 4_000_000, 1)
            ahead, plain = (each.packets(tick_ns(tick)) for each in (line, other))
            assert [packet.data for packet in ahead] == [packet.data for packet in plain]
        counts = [each.receiver.reports()[0]["received"] for each in (line, other)]
        assert counts == [14, 14]
    finally:
        other.close()
