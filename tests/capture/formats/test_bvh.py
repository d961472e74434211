import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenroom.capture.archive import members
from greenroom.capture.formats.bvh import body_to_motion, read_bvh, write_bvh
from greenroom.capture.skeleton.retarget import to_body
from greenroom.errors import BadInput
from greenroom.frames import BONES
from tests.capture.formats.performed import asymmetric, places

with warnings.catch_warnings():
    warnings.simplefilter("ignore", PendingDeprecationWarning)  # of PyGLM, which bvhio imports
    import bvhio

GOOD = b"""HIERARCHY
ROOT a
{
OFFSET 0 0 0
CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
JOINT b
{
OFFSET 0 1 0
CHANNELS 2 Yrotation Xrotation
End Site
{
OFFSET 0 0.5 0
}
}
}
MOTION
Frames: 2
Frame Time: 0.033333
0 1 0 0 0 0 0 0
0 1 1 90 0 0 10 20
"""


def read(data: bytes):
    return read_bvh(data, where="a.bvh", metres_per_unit=1.0)


def bvhio_places(data: bytes, tmp_path: Path, frames: list[int]) -> np.ndarray:
    path = tmp_path / "x.bvh"
    path.write_bytes(data.replace(b"\r", b""))
    root = bvhio.readAsHierarchy(str(path))
    joints = [joint for joint, _, _ in root.layout()]
    out = []
    for frame in frames:
        root.loadPose(frame)
        out.append([list(joint.PositionWorld) for joint in joints])
    return np.array(out)


def test_what_is_read_is_what_stands_there():
    motion = read(GOOD)
    assert motion.skeleton.names == ("a", "b")
    assert motion.orders == ("ZXY", "YX")
    assert motion.moving.tolist() == [True, False]
    assert motion.ends == ((1, (0.0, 0.5, 0.0)),)
    places, _ = motion.skeleton.world(motion.translations, motion.rotations)
    np.testing.assert_allclose(places[1], [[0, 1, 1], [-1, 1, 1]], atol=1e-12)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.replace(b"\n", b"\r\n"),
        lambda d: b"\xef\xbb\xbf" + d,
        lambda d: d.replace(b" ", b"\t"),
        lambda d: d.replace(b"0 0\n", b"0 0 \n"),
        lambda d: d.lower(),
        lambda d: d.replace(b"a\n{", b"a {"),
        lambda d: d + b"\n \n",
        lambda d: d.rstrip(),
    ],
    ids=["crlf", "bom", "tabs", "trailing", "lower", "brace", "blank-end", "no-newline"],
)
def test_writings_in_use_are_read_alike(change):
    np.testing.assert_array_equal(read(change(GOOD)).rotations, read(GOOD).rotations)


BAD = {
    "truncated": (GOOD[:-20], "a.bvh"),
    "short row": (GOOD.replace(b"10 20", b"10"), "a.bvh:20: frame 1 has 7 values"),
    "long row": (GOOD.replace(b"10 20", b"10 20 30"), "a.bvh:20: frame 1 has 9 values"),
    "shifted rows": (GOOD.replace(b"0 0\n0 1", b"0 0 0\n1"), "a.bvh:19: frame 0 has 9 values"),
    "nan": (GOOD.replace(b"10 20", b"nan 20"), "a.bvh: frame 1: value 7 is nan"),
    "inf": (GOOD.replace(b"10 20", b"-inf 20"), "a.bvh: frame 1: value 7 is -inf"),
    "word": (GOOD.replace(b"10 20", b"x 20"), "a.bvh:20"),
    "zero frames": (GOOD.replace(b"Frames: 2", b"Frames: 0"), "a.bvh:17: Frames: '0'"),
    "no frames": (GOOD.replace(b"Frames: 2", b"Frames:"), "a.bvh:17"),
    "promise": (
        GOOD[: GOOD.index(b"0 1 0 0 0")].replace(b"Frames: 2", b"Frames: 1000000"),
        "a.bvh: frame 0: Frames: 1000000",
    ),
    "few rows": (GOOD.replace(b"Frames: 2", b"Frames: 3"), "3"),
    "many rows": (GOOD.replace(b"Frames: 2", b"Frames: 1"), "2 rows follow"),
    "time 0": (GOOD.replace(b"0.033333", b"0"), "a.bvh:18: Frame Time"),
    "time -": (GOOD.replace(b"0.033333", b"-1"), "a.bvh:18: Frame Time"),
    "time nan": (GOOD.replace(b"0.033333", b"nan"), "a.bvh:18: Frame Time"),
    "cycle": (GOOD.replace(b"JOINT b", b"JOINT a"), "a.bvh:6: joint 'a' is its own ancestor"),
    "unnamed": (GOOD.replace(b"JOINT b", b"JOINT"), "a.bvh:6: JOINT without a name"),
    "two roots": (GOOD.replace(b"JOINT b", b"ROOT b"), "a.bvh:6: ROOT"),
    "open": (GOOD.replace(b"}\n}\n}\n", b"}\n}\n"), "never closed"),
    "closed": (GOOD.replace(b"}\nMOTION", b"}\n}\nMOTION"), "closes nothing"),
    "channel": (GOOD.replace(b"2 Yrotation", b"2 Wrotation"), "a.bvh:9: unknown channel"),
    "count": (GOOD.replace(b"CHANNELS 2", b"CHANNELS 3"), "a.bvh:9: CHANNELS 3"),
    "twice": (GOOD.replace(b"2 Yrotation", b"2 Xrotation"), "a.bvh:9"),
    "offset": (GOOD.replace(b"OFFSET 0 1 0", b"OFFSET 0 1"), "a.bvh:8: OFFSET takes three"),
    "offset nan": (GOOD.replace(b"OFFSET 0 1 0", b"OFFSET 0 nan 0"), "a.bvh:8"),
    "empty": (b"", "not a BVH"),
    "header": (GOOD[:60], "no MOTION"),
    "deep": (
        b"HIERARCHY\nROOT r\n{\n"
        + b"".join(b"JOINT j%d\n{\nOFFSET 0 0 0\n" % i for i in range(5000))
        + b"MOTION\n",
        "beyond",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_says_where_and_what(name):
    data, expected = BAD[name]
    with pytest.raises(BadInput) as caught:
        read(data)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.then


@pytest.mark.parametrize("order", ["ZXY", "XYZ", "YZX", "ZYX", "XZY", "YXZ"])
def test_written_back_it_is_the_same_motion(person, tmp_path, order):
    data = person(order=order, amplitude=89.0, frames=20)
    motion = read_bvh(data, where="p")
    back = write_bvh(motion)
    again = read_bvh(back, where="q")
    assert again.metres_per_unit == motion.metres_per_unit == 0.01
    assert again.orders == motion.orders and again.skeleton.names == motion.skeleton.names
    frames = list(range(20))
    gap = bvhio_places(data, tmp_path, frames) - bvhio_places(back, tmp_path, frames)
    assert np.abs(gap).max() * 10 < 1.0  # centimetres to millimetres


def test_bvhio_places_joints_where_we_do(person, tmp_path):
    data = person(frames=5)
    motion = read_bvh(data, where="p")
    ours, _ = motion.skeleton.world(motion.translations, motion.rotations)
    theirs = bvhio_places(data, tmp_path, list(range(5))) * 0.01
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_a_body_is_written_for_post_production(person, tmp_path):
    body = to_body(read_bvh(person(), where="p"))
    data = write_bvh(body_to_motion(body))
    again = read_bvh(data, where="q")
    assert sorted(again.skeleton.names) == sorted(BONES) and again.metres_per_unit == 0.01
    ours, _ = body.skeleton.world(
        body.skeleton.rest_translations(len(body), body.root), body.filled()
    )
    theirs, _ = again.skeleton.world(again.translations, again.rotations)
    order = [again.skeleton.names.index(bone) for bone in BONES]
    np.testing.assert_allclose(ours, theirs[:, order], atol=1e-5)
    assert len(bvhio_places(data, tmp_path, [0])[0]) == 55


@settings(max_examples=150, deadline=2000)
@given(st.data())
def test_mutilated_files_are_read_or_refused(data):
    text = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text)))
        cut = data.draw(st.integers(0, 30))
        text[at : at + cut] = data.draw(
            st.one_of(st.binary(max_size=8), st.sampled_from([b"{", b"}", b"1e309", b"-", b"nan"]))
        )
    try:
        motion = read(bytes(text))
    except BadInput:
        return
    assert np.isfinite(motion.rotations).all() and np.isfinite(motion.translations).all()
    np.testing.assert_allclose(np.linalg.norm(motion.rotations, axis=-1), 1.0, atol=1e-9)


def _real(shared_data: Path) -> list[tuple[str, bytes]]:
    out = [
        (p.name, p.read_bytes()) for p in sorted((shared_data / "cmu_mocap_sample").rglob("*.bvh"))
    ]
    for folder in ("bandai_namco_motion_1", "bandai_namco_motion_2"):
        out += members(shared_data / folder / "bvh.zip", lambda name: name.endswith(".bvh"))
    return out


def _round_trip_mm(data: bytes, tmp_path: Path, step: int) -> float:
    motion = read_bvh(data, where="source")
    frames = list(range(0, len(motion), step))
    back = write_bvh(motion)
    gap = bvhio_places(data, tmp_path, frames) - bvhio_places(back, tmp_path, frames)
    return float(np.linalg.norm(gap, axis=-1).max() * motion.metres_per_unit * 1000)


def test_real_takes_survive_our_writer(shared_data, tmp_path):
    takes = _real(shared_data)
    for _, data in [takes[1], takes[2], takes[-1]]:
        assert _round_trip_mm(data, tmp_path, 7) < 1.0


@pytest.mark.slow
def test_every_real_take_survives_our_writer(shared_data, tmp_path):
    for name, data in _real(shared_data):
        assert _round_trip_mm(data, tmp_path, 1) < 1.0, name


def test_members_of_a_zip_are_what_was_zipped(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("x/a.bvh", GOOD)
    assert list(members(tmp_path / "a.zip")) == [("x/a.bvh", GOOD)]


def test_an_asymmetric_performance_stands_in_bvhio_where_it_stood_in_centimetres(tmp_path):
    body = asymmetric(6)
    data = write_bvh(body_to_motion(body))
    names = [line.split()[1] for line in data.decode().splitlines() if "ROOT" in line]
    names += [line.split()[1] for line in data.decode().splitlines() if "JOINT" in line]
    theirs = bvhio_places(data, tmp_path, list(range(6))) * 0.01
    ours, _ = places(body)
    order = [BONES.index(name) for name in names]
    np.testing.assert_allclose(ours[:, order], theirs, atol=1e-3)
