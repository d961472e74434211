import csv
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from greenroom.capture.formats.face_npy import (
    is_face,
    read_face_npy,
    read_names,
    to_face,
    write_face,
)
from greenroom.capture.skeleton.mapping import Mapping
from greenroom.errors import BadInput
from greenroom.frames import Face


def npy(array: object, version: tuple[int, int] = (1, 0)) -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array(out, np.asarray(array), version=version, allow_pickle=True)
    return out.getvalue()


def headed(header: str, body: bytes = b"", version: int = 1) -> bytes:
    size = len(header).to_bytes(2 if version == 1 else 4, "little")
    return b"\x93NUMPY" + bytes([version, 0]) + size + header.encode() + body


ROWS = np.linspace(0, 1, 12).reshape(6, 2)


@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8", ">f4", ">f8"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
def test_any_plain_float_array_is_read_exactly(dtype, order, version) -> None:
    array = np.array(ROWS, dtype=dtype, order=order)
    np.testing.assert_array_equal(read_face_npy(npy(array, version), where="a.npy"), array)


def test_a_header_of_python_2_is_read_without_a_warning() -> None:
    header = "{'descr': '<f8', 'fortran_order': False, 'shape': (6L, 2L), }\n"
    np.testing.assert_array_equal(read_face_npy(headed(header, ROWS.tobytes()), where="a"), ROWS)


class Trap:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was run",))


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "not an .npy"),
        (b"\x93NUMPY", "not an .npy"),
        (b"\x93NUMPY\x09\x00\x00\x00", "not an .npy"),
        (npy(ROWS)[:40], "no readable"),
        (npy(ROWS)[:-1], "95 bytes of weights where"),
        (npy(ROWS) + b"x", "97 bytes of weights where"),
        (npy(np.array([[Trap()]], dtype=object)), "O"),
        (npy(np.zeros((2, 2), dtype=np.int64)), "i8"),
        (npy(np.zeros((2, 2), dtype=np.complex128)), "c16"),
        (npy(np.zeros((2, 2), dtype=[("a", "<f8")])), "a record"),
        (npy(np.zeros(4)), "shape"),
        (npy(np.zeros((2, 2, 2))), "shape"),
        (npy(np.zeros((0, 3))), "shape"),
        (npy(np.zeros((3, 0))), "shape"),
        (npy(np.zeros((1, 5000))), "shape"),
        (headed(" " * 5000), "header of 5000"),
        (headed("", version=2)[:-4] + b"\xff\xff\xff\x7f", "header of"),
        (
            headed("{'descr': '<f8', 'fortran_order': False, 'shape': (999999999999, 116), }"),
            "0 bytes of weights where",
        ),
        (headed("{'descr': '<f8', 'fortran_order': False, 'shape': (-6, 2), }"), "no readable"),
        (headed("{'descr': __import__('os').abort(), 'shape': (6, 2)}"), "no readable"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_another_array_is_refused_and_nothing_in_it_runs(data, problem) -> None:
    with pytest.raises(BadInput, match=problem) as caught:
        read_face_npy(data, where="a.npy")
    assert caught.value.then and str(caught.value).startswith("a.npy")


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 140), st.binary(max_size=30), st.booleans())
def test_mutilated_it_is_rows_or_bad_input(at: int, junk: bytes, cut: bool) -> None:
    data = bytearray(npy(ROWS))
    data[at : at + len(junk)] = junk
    if cut:
        del data[at + len(junk) :]
    try:
        rows = read_face_npy(bytes(data), where="a.npy")
        to_face(rows, tuple(map(str, range(rows.shape[1]))), 30.0, where="a.npy")
    except BadInput as error:
        assert error.then


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=400))
def test_any_header_is_rows_or_bad_input(header: bytes) -> None:
    data = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(96)
    try:
        read_face_npy(data, where="a.npy")
    except BadInput:
        return


def test_a_list_of_names_is_no_face_and_any_other_array_is() -> None:
    for names in (["a", "b"], [b"a"]):
        assert not is_face(npy(names))
    for array in (ROWS, np.zeros(3), np.zeros((2, 2), dtype=int), np.array([Trap()])):
        assert is_face(npy(array))
    assert not is_face(b"RIFF")


@pytest.mark.parametrize(
    ("weights", "channels", "problem"),
    [
        ([[0, 0]], ("a",), "2 columns but 1 names"),
        ([[0, 0]], (), "2 columns but 0 names"),
        ([[0, 0], [0, 1.2]], ("a", "b"), "frame 1, column 1: 'b' is 1.2"),
        ([[0, -0.2]], ("a", "b"), "'b' is -0.2"),
        ([[0, np.inf]], ("a", "b"), "'b' is inf"),
        ([[np.nan, np.nan]], ("a", "b"), "missing"),
    ],
)
def test_what_is_no_face_is_refused_with_its_place(weights, channels, problem) -> None:
    with pytest.raises(BadInput, match=problem) as caught:
        to_face(np.array(weights, dtype=float), channels, 30.0, where="a.npy")
    assert caught.value.then and "a.npy" in str(caught.value)


def test_a_curve_that_overshoots_a_little_is_clipped() -> None:
    face = to_face(np.array([[1.04, -0.04]]), ("a", "b"), 30.0, where="a")
    assert face.weights.tolist() == [[1, 0]]


@pytest.mark.parametrize("rate", [12.5, 24.0, 25.0, 29.97, 30.0, 30.0003, 60.0, 119.88, 240.0])
def test_a_line_stays_a_line_at_any_rate(rate: float) -> None:
    rows = np.linspace(0, 1, 61)[:, None] * [1.0, 0.5]
    face = to_face(rows, ("a", "b"), rate, where="a")
    if abs(rate - 30) < 0.001:  # within 0.01 % of 30 Hz it is 30 Hz
        np.testing.assert_array_equal(face.weights, rows.astype(np.float32))
        return
    times = np.arange(len(face)) / 30
    assert times[-1] <= 60 / rate < times[-1] + 1 / 30
    np.testing.assert_allclose(face.weights, times[:, None] * rate / 60 * [1, 0.5], atol=1e-6)


@given(
    hnp.arrays(np.float64, (13, 2), elements=st.one_of(st.floats(0, 1), st.just(np.nan))),
    st.sampled_from([24.0, 25.0, 50.0, 60.0]),
)
@settings(max_examples=60, deadline=None)
def test_what_is_missing_stays_missing_and_spoils_no_other(rows, rate: float) -> None:
    rows[0, 0] = 0.5
    face = to_face(rows, ("a", "b"), rate, where="a")
    at = np.arange(len(face)) * rate / 30
    left, right = np.floor(at + 1e-9).astype(int), np.ceil(at - 1e-9).astype(int)
    known = ~np.isnan(rows[left]) & ~np.isnan(rows[right])
    np.testing.assert_array_equal(face.validity > 0, known)
    assert ((face.weights >= 0) & (face.weights <= 1) | ~known).all()


@pytest.mark.parametrize(
    ("name", "data", "wanted"),
    [
        (
            "n.txt",
            b"\xef\xbb\xbfjaw open\r\nblink_l\r\n\r\n",
            Mapping(channels=("jaw open", "blink_l")),
        ),
        ("n.json", b'["a", "b"]', Mapping(channels=("a", "b"))),
        ("n.json", b'{"channels": ["a"], "rate": 60}', Mapping(rate=60.0, channels=("a",))),
    ],
)
def test_names_are_kept_as_they_are(name, data, wanted) -> None:
    assert read_names(data, where=name) == wanted


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("n.txt", b""),
        ("n.txt", b"\xff\xfe"),
        ("n.txt", b"a\n\nb\n"),
        ("n.txt", b"a\nb\na\n"),
        ("n.txt", b"a" * 1000),
        ("n.txt", b"x\x00y\n"),
        ("n.txt", b"\n".join(b"%d" % k for k in range(5000))),
        ("n.json", b'{"rate": 60}'),
        ("n.json", b"[1]"),
        ("n.json", b"[" * 100_000),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_bad_names_file_is_refused(name, data) -> None:
    with pytest.raises(BadInput) as caught:
        read_names(data, where=name)
    assert caught.value.then and name in str(caught.value)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=80), st.sampled_from(["n.txt", "n.json"]))
def test_any_names_file_is_names_or_bad_input(data: bytes, name: str) -> None:
    try:
        assert read_names(data, where=name).channels
    except BadInput:
        return


@settings(max_examples=40, deadline=None)
@given(
    hnp.arrays(np.float32, (4, 3), elements=st.one_of(st.floats(0, 1, width=32), st.just(np.nan)))
)
def test_a_csv_holds_every_bit(weights) -> None:
    face = Face(("jaw", "a,b", 'q"'), weights)
    head, *rows = csv.reader(io.StringIO(write_face(face).decode()))
    assert head == ["tick", *face.channels] and [row[0] for row in rows] == list("0123")
    back = np.array([[np.float32(c or "nan") for c in row[1:]] for row in rows], dtype=np.float32)
    np.testing.assert_array_equal(back, weights)
