import socket
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pythonosc.osc_bundle import OscBundle
from pythonosc.osc_bundle_builder import IMMEDIATELY, OscBundleBuilder
from pythonosc.osc_message import OscMessage
from pythonosc.osc_message_builder import OscMessageBuilder

from greenroom.errors import BadInput
from greenroom.frames import ARKIT, BONES, HUMANOID, Frame
from greenroom.live.sinks.vmc import DATAGRAM_LIMIT, VmcSink, VmcTemplate, no_face, unity_name
from greenroom.rotations import normalise, to_matrix

# Unity's HumanBodyBones, as its reference lists them; LastBone and those VRM lacks left out.
UNITY = (
    """
    Hips LeftUpperLeg RightUpperLeg LeftLowerLeg RightLowerLeg LeftFoot RightFoot Spine Chest
    UpperChest Neck Head LeftShoulder RightShoulder LeftUpperArm RightUpperArm LeftLowerArm
    RightLowerArm LeftHand RightHand LeftToes RightToes LeftEye RightEye Jaw
""".split()
    + [
        f"{side}{finger}{joint}"
        for side in ("Left", "Right")
        for finger in ("Thumb", "Index", "Middle", "Ring", "Little")
        for joint in ("Proximal", "Intermediate", "Distal")
    ]
)


def frame(seed: int, tick: int = 90) -> Frame:
    rng = np.random.default_rng(seed)
    return Frame(
        tick,
        rng.normal(size=3).astype(np.float32),
        normalise(rng.normal(size=(55, 4))).astype(np.float32),
        rng.uniform(size=52).astype(np.float32),
    )


def messages(datagrams: list[bytearray]) -> list[OscMessage]:
    return [message for data in datagrams for message in OscBundle(bytes(data))]


def bone(datagrams: list[bytearray], name: str) -> list[float]:
    [found] = [
        m.params[1:]
        for m in messages(datagrams)
        if m.address == "/VMC/Ext/Bone/Pos" and m.params[0] == name
    ]
    return found


def in_bundles(contents: list[tuple[str, list[tuple[object, str]]]]) -> list[bytes]:
    """What python-osc makes of the messages, as many in a bundle as a datagram holds."""
    bundles: list[bytes] = []
    builder, size = OscBundleBuilder(IMMEDIATELY), 16
    for address, values in contents:
        message = OscMessageBuilder(address)
        for value, kind in values:
            message.add_arg(value, kind)
        built = message.build()
        if size + 4 + built.size > DATAGRAM_LIMIT:
            bundles.append(builder.build().dgram)
            builder, size = OscBundleBuilder(IMMEDIATELY), 16
        builder.add_content(built)
        size += 4 + built.size
    return [*bundles, builder.build().dgram]


def expected(frame: Frame, seconds: float) -> list[bytes]:
    offsets = HUMANOID.offsets.astype(np.float32)
    contents = [
        ("/VMC/Ext/Root/Pos", ["root", -0.0, 0.0, 0.0, 0.0, -0.0, -0.0, 1.0]),
    ]
    for j, name in enumerate(BONES):
        x, y, z = (frame.root if j == 0 else offsets[j]).tolist()
        a, b, c, w = frame.rotations[j].tolist()
        contents.append(("/VMC/Ext/Bone/Pos", [unity_name(name), -x, y, z, a, -b, -c, w]))
    for name, value in zip(ARKIT, frame.face.tolist(), strict=True):
        contents.append(("/VMC/Ext/Blend/Val", [name, value]))
    contents.append(("/VMC/Ext/Blend/Apply", []))
    contents.append(("/VMC/Ext/OK", [1]))
    contents.append(("/VMC/Ext/T", [seconds]))
    kinds = {str: "s", int: "i", float: "f"}
    # Zero is sent as plus zero, whatever the mirror made of it.
    plain = [(a, [v + 0.0 if isinstance(v, float) else v for v in vs]) for a, vs in contents]
    return in_bundles([(a, [(v, kinds[type(v)]) for v in vs]) for a, vs in plain])


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 10**6))
def test_datagrams_are_those_of_python_osc_byte_for_byte(seed: int, tick: int) -> None:
    made = frame(seed, tick)
    template = VmcTemplate(HUMANOID.offsets)
    assert [bytes(d) for d in template.fill(made, tick / 30)] == expected(made, tick / 30)


def test_a_filled_template_forgets_the_frame_before() -> None:
    template = VmcTemplate(HUMANOID.offsets)
    template.fill(frame(1), 1.0)
    assert [bytes(d) for d in template.fill(frame(2), 2.0)] == expected(frame(2), 2.0)


def test_no_datagram_is_over_the_limit() -> None:
    datagrams = VmcTemplate(HUMANOID.offsets).fill(frame(0), 0.0)
    assert all(len(data) <= 1472 for data in datagrams) and len(datagrams) <= 5


def test_every_bone_and_weight_is_there_once_and_the_frame_ends_it() -> None:
    made = frame(3)
    sent = messages(VmcTemplate(HUMANOID.offsets).fill(made, 3.0))
    bones = [m.params[0] for m in sent if m.address == "/VMC/Ext/Bone/Pos"]
    weights = {m.params[0]: m.params[1] for m in sent if m.address == "/VMC/Ext/Blend/Val"}
    assert len(bones) == 55 and sorted(bones) == sorted(UNITY)
    assert list(weights) == list(ARKIT) and len(weights) == 52
    assert weights["jawOpen"] == made.face[ARKIT.index("jawOpen")]
    assert [m.address for m in sent[-3:]] == ["/VMC/Ext/Blend/Apply", "/VMC/Ext/OK", "/VMC/Ext/T"]
    assert [m.params for m in sent[-3:]] == [[], [1], [3.0]]


def test_nobody_can_write_into_the_missing_face() -> None:
    with pytest.raises(ValueError):
        no_face()[0] = 1
    assert np.isnan(no_face()).all()


def test_missing_weights_are_not_sent_and_the_others_keep_their_names() -> None:
    made = frame(4)
    face = made.face.copy()
    face[[0, 17]] = np.nan
    present = [name for i, name in enumerate(ARKIT) if i not in (0, 17)]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(5)
        sink = VmcSink("127.0.0.1", receiver.getsockname()[1])
        for weights, names in ((face, present), (no_face(), []), (made.face, list(ARKIT))):
            before = sink.sent
            sink.send(Frame(made.tick, made.root, made.rotations, weights))
            sent = messages([receiver.recv(4096) for _ in range(sink.sent - before)])
            values = {m.params[0]: m.params[1] for m in sent if m.address == "/VMC/Ext/Blend/Val"}
            assert list(values) == names
            assert all(values[n] == weights[ARKIT.index(n)] for n in names)
            assert len([m for m in sent if m.address == "/VMC/Ext/Bone/Pos"]) == len(BONES)
        sink.close()


def test_it_may_send_to_a_whole_network() -> None:
    sink = VmcSink("255.255.255.255", 39539)
    sink.send(frame(1))
    sink.close()
    assert sink.sent + sink.lost == len(expected(frame(1), 0.0))
    assert sink._socket.fileno() == -1


def test_the_performers_left_is_unitys_left() -> None:
    # Ours: left is +X. Unity, facing +Z: left is -X.
    datagrams = VmcTemplate(HUMANOID.offsets).fill(frame(5), 0.0)
    assert bone(datagrams, "LeftUpperArm")[0] < 0 < bone(datagrams, "RightUpperArm")[0]


def test_rotations_are_the_same_turns_seen_in_the_mirror() -> None:
    made = frame(6)
    datagrams = VmcTemplate(HUMANOID.offsets).fill(made, 0.0)
    mirror = np.diag([-1.0, 1.0, 1.0])
    for j in (0, 10, 30):
        theirs = to_matrix(np.asarray(bone(datagrams, unity_name(BONES[j]))[3:]))
        ours = to_matrix(made.rotations[j].astype(np.float64))
        np.testing.assert_allclose(theirs, mirror @ ours @ mirror, atol=1e-6)


def test_the_hips_carry_the_movement() -> None:
    made = Frame(0, np.asarray([1, 2, 3], np.float32), frame(7).rotations, no_face())
    datagrams = VmcTemplate(HUMANOID.offsets).fill(made, 0.0)
    assert bone(datagrams, "Hips")[:3] == [-1, 2, 3]
    [root] = [m.params for m in messages(datagrams) if m.address == "/VMC/Ext/Root/Pos"]
    assert root == ["root", 0, 0, 0, 0, 0, 0, 1]


def test_the_sink_sends_them_all() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(5)
        sink = VmcSink("127.0.0.1", receiver.getsockname()[1])
        sink.send(frame(8, tick=45))
        wanted = expected(frame(8), 1.5)
        assert [receiver.recv(4096) for _ in wanted] == wanted
        sink.close()
        assert sink.lost == 0
        sink.send(frame(8))
        assert sink.lost == len(wanted)


def test_a_rehearsal_reaches_nobody_and_leaves_nothing_behind() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(5)
        sink = VmcSink("127.0.0.1", receiver.getsockname()[1])
        for seed in range(3):
            sink.rehearse(frame(seed))
        sink.send(frame(8, tick=45))
        wanted = expected(frame(8), 1.5)
        assert [receiver.recv(4096) for _ in wanted] == wanted
        sink.rehearse(frame(9))
        receiver.setblocking(False)
        with pytest.raises(BlockingIOError):
            receiver.recv(4096)
        sink.close()
        sink.rehearse(frame(9))  # does not raise
        assert sink.lost == 0


def test_a_host_that_is_not_there_is_bad_input(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(BadInput, match="vmc://nobody:39539 cannot be reached"):
        VmcSink("nobody", 39539)


def test_the_time_tag_says_immediately() -> None:
    for data in VmcTemplate(HUMANOID.offsets).fill(frame(0), 0.0):
        assert data[:16] == b"#bundle\0" + struct.pack(">Q", 1)
