import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenroom.capture.discovery import Found, InputFiles, group_by_clock, open_recordings
from greenroom.capture.formats.wav import write_wav
from greenroom.capture.readers import Recording, Refusal
from greenroom.capture.skeleton.mapping import Mapping


def sound(seconds: float) -> bytes:
    return write_wav(np.sin(np.arange(round(24_000 * seconds)) / 9).astype(np.float32) / 2)


def face(frames: int, columns: int = 2) -> bytes:
    out = io.BytesIO()
    np.save(out, np.full((frames, columns), 0.25, dtype=np.float32))
    return out.getvalue()


def put(root: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def told(found: list[Found], root: Path) -> list[tuple[str, ...]]:
    """(path, media…) of each recording, (path, "refused") of each refusal."""
    out = []
    for one in found:
        what = tuple(one.originals) if isinstance(one, Recording) else ("refused",)
        out.append((one.path.removeprefix(f"{root}/"), *what))
    return out


NAMES = {"channel_names.txt": b"jawOpen\nblink\n"}


@pytest.fixture
def layout(person: Callable[..., bytes]) -> dict[str, bytes]:
    return {
        **NAMES,
        "audio/07.wav": sound(1.0),
        "audio/08.wav": sound(2.0),
        "audio/alone.wav": sound(0.5),
        "blendshapes/bs_value_07.npy": face(30),
        "blendshapes/bs_value_08.npy": face(30),
        "body/walk.bvh": person(frames=30),
        "body/walk.wav": sound(1.2),
        "body/run.bvh": person(frames=30),
        "body/run.wav": sound(1.3),
        "body/run.txt": b"what is said in it",
        "README.md": b"words",
    }


WANTED = [
    ("audio/07.wav", "face", "audio"),
    ("audio/08.wav", "audio"),
    ("audio/alone.wav", "audio"),
    ("blendshapes/bs_value_08.npy", "face"),
    ("body/run.bvh", "body"),
    ("body/run.wav", "audio"),
    ("body/walk.bvh", "body", "audio"),
]


def test_files_on_one_clock_are_one_recording(tmp_path: Path, layout: dict[str, bytes]) -> None:
    put(tmp_path, layout)
    found = list(open_recordings(tmp_path))
    assert sorted(told(found, tmp_path)) == WANTED
    whole = next(one for one in found if one.path.endswith("07.wav"))
    assert isinstance(whole, Recording) and whole.face is not None and whole.audio is not None
    assert whole.face.channels == ("jawOpen", "blink") and whole.face_rate == 30
    assert whole.originals["face"].data == layout["blendshapes/bs_value_07.npy"]
    assert {"face_ticks", "source_rate"} <= set(whole.facts)


@pytest.mark.parametrize("backwards", [False, True])
def test_in_an_archive_too_in_any_order(
    tmp_path: Path, layout: dict[str, bytes], backwards: bool
) -> None:
    order = sorted(layout, reverse=backwards)
    path = zipped(tmp_path / "a.zip", {name: layout[name] for name in order})
    found = list(open_recordings(path))
    assert sorted(told(found, path)) == WANTED


def test_folders_given_one_by_one_are_one_ingest(tmp_path: Path, layout: dict[str, bytes]) -> None:
    put(tmp_path, layout)
    found = list(InputFiles([tmp_path / "blendshapes", tmp_path / "audio" / "07.wav"]))
    assert ("audio/07.wav", "face", "audio") in told(found, tmp_path)
    (one,) = open_recordings(tmp_path / "blendshapes" / "bs_value_07.npy")
    assert told([one], tmp_path) == [("blendshapes/bs_value_07.npy", "face")]


def test_a_bad_half_does_not_spoil_the_other(tmp_path: Path, layout: dict[str, bytes]) -> None:
    layout["audio/07.wav"] = b"RIFF"
    layout["body/walk.bvh"] = b"HIERARCHY"
    put(tmp_path, layout)
    found = told(list(open_recordings(tmp_path)), tmp_path)
    assert {("audio/07.wav", "refused"), ("blendshapes/bs_value_07.npy", "face")} <= set(found)
    assert {("body/walk.bvh", "refused"), ("body/walk.wav", "audio")} <= set(found)


def test_a_face_without_names_says_what_to_do(tmp_path: Path) -> None:
    put(tmp_path, {"a/x.npy": face(4)})
    (one,) = open_recordings(tmp_path / "a")
    assert isinstance(one, Refusal) and "channel_names.txt" in one.reason
    (one,) = open_recordings(tmp_path / "a", Mapping(channels=("a", "b"), rate=60.0))
    assert isinstance(one, Recording) and one.face is not None and len(one.face) == 2


@pytest.mark.parametrize(
    ("extra", "wanted"),
    [
        ({}, (("jawOpen", "blink"), 30.0)),
        ({"a/channel_names.json": b'{"channels": ["n", "m"], "rate": 60}'}, (("n", "m"), 60.0)),
        ({"a/x.names.txt": b"o\np\n"}, (("o", "p"), 30.0)),
        ({"a/x.names.json": b'["q", "r"]', "a/x.names.txt": b"o\np\n"}, (("q", "r"), 30.0)),
        ({"a/y.names.txt": b"o\np\n"}, (("jawOpen", "blink"), 30.0)),
    ],
)
def test_the_nearest_names_are_taken(tmp_path: Path, extra: dict[str, bytes], wanted) -> None:
    put(tmp_path, {**NAMES, "a/x.npy": face(31), **extra})
    for path in (tmp_path, tmp_path / "a", tmp_path / "a" / "x.npy"):
        (one,) = open_recordings(path)
        assert isinstance(one, Recording) and one.face is not None
        assert (one.face.channels, one.face_rate) == wanted
    (one,) = open_recordings(tmp_path, Mapping(rate=15.0))
    assert isinstance(one, Recording) and one.face is not None and len(one.face) == 61


def test_a_list_of_names_as_an_array_and_names_themselves_are_passed_over(tmp_path: Path) -> None:
    np.save(tmp_path / "names.npy", np.array(["jawOpen"]))
    put(tmp_path, NAMES)
    assert list(open_recordings(tmp_path)) == []


def test_what_is_too_much_beside_recordings_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"labels.csv": bytes(33 << 20), "x.wav": sound(0.1)})
    (one,) = open_recordings(path)
    assert isinstance(one, Refusal) and "beyond the limit" in one.reason


@pytest.mark.parametrize(
    ("paths", "wanted"),
    [
        (["a/01.wav", "b/01.wav", "c/01.npy"], 3),  # equally near: nobody's
        (["s1/a/01.wav", "s2/a/01.wav", "s1/f/01.npy", "s2/f/01.npy"], 2),
        (["w.wav", "a_w.npy", "b_w.npy"], 2),
        (["w.wav", "a_w.npy", "w.npy"], 2),
        (["w.wav", "aw.npy"], 2),
        (["w.wav", "w.bvh", "w.npy"], 1),
        (["a/w.wav", "b/w.bvh"], 2),
        (["w.wav", "w.txt", "w.bvh"], 2),
    ],
)
def test_names_say_what_lies_on_one_clock(paths: list[str], wanted: int) -> None:
    groups = group_by_clock(paths)
    assert len(groups) == wanted
    assert ["w.wav", "a_w.npy"] not in groups or "w.npy" not in paths


@given(
    st.lists(
        st.from_regex(r"([ab]/){0,2}[xy](_[xy]){0,2}\.(wav|flac|npy|bvh|txt)", fullmatch=True),
        unique=True,
        max_size=12,
    )
)
def test_each_path_is_in_one_group_with_at_most_one_of_a_medium(paths: list[str]) -> None:
    groups = group_by_clock(paths)
    assert sorted(path for group in groups for path in group) == sorted(paths)
    for group in groups:
        kinds = [
            {"wav": "a", "flac": "a", "npy": "f"}.get(path.rsplit(".")[-1], "b") for path in group
        ]
        assert len(set(kinds)) == len(kinds) and (len(group) == 1 or "a" in kinds)


def test_the_shared_faces_lie_on_one_clock_with_their_speech(shared_data: Path) -> None:
    found = list(open_recordings(shared_data / "facegood_speech_face"))
    assert all(isinstance(one, Recording) for one in found)
    pairs = [one for one in found if isinstance(one, Recording) and one.face is not None]
    assert len(pairs) == 5 and all(one.audio is not None for one in pairs)
    for one in pairs:
        assert one.face is not None and one.face.weights.shape[1] == 116
        assert one.face.channels[0] == "brow_lower_l" and (one.face.validity == 1).all()
        raw = np.frombuffer(one.originals["face"].data, offset=80).reshape(-1, 116)
        np.testing.assert_array_equal(one.face.weights, raw.astype(np.float32))
