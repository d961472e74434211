import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenroom.errors import BadInput, CorruptObject, GreenroomError
from greenroom.manifests import Medium, ReleaseManifest, Take, TakeClock
from greenroom.store.objects import Objects, canonical, digest

EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.fixture
def objects(tmp_path: Path) -> Objects:
    return Objects(tmp_path / "objects")


def left_over(objects: Objects) -> list[Path]:
    return [path for path in objects.root.rglob("*") if path.is_file()]


@pytest.mark.parametrize("data", [b"", b"a", bytes(range(256)) * 40])
def test_what_is_put_comes_back_under_its_hash(objects: Objects, data: bytes) -> None:
    name = objects.put(data)
    assert name == digest(data) and name in objects
    assert objects.get(name) == data
    assert objects.put(memoryview(data)) == name
    assert list(objects) == [name]


def test_the_empty_object_has_sha256s_published_name(objects: Objects) -> None:
    assert objects.put(b"") == EMPTY


def test_any_flipped_bit_is_a_corrupt_object(objects: Objects) -> None:
    data = b"a short take"
    name = objects.put(data)
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        objects.path(name).write_bytes(damaged)
        with pytest.raises(CorruptObject, match=name):
            objects.get(name)


@pytest.mark.parametrize("damaged", [b"", b"a short tak", b"a short take\n"])
def test_a_file_cut_short_or_grown_is_corrupt(objects: Objects, damaged: bytes) -> None:
    name = objects.put(b"a short take")
    objects.path(name).write_bytes(damaged)
    with pytest.raises(CorruptObject):
        objects.get(name)


def test_putting_again_mends_a_damaged_file(objects: Objects) -> None:
    name = objects.put(b"whole")
    objects.path(name).write_bytes(b"hole")
    assert objects.put(b"whole") == name
    assert objects.get(name) == b"whole"


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failing_write_leaves_nothing(
    objects: Objects, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as broken:
        broken.setattr(os, call, full)
        with pytest.raises(GreenroomError, match="No space left"):
            objects.put(b"too much")
    assert left_over(objects) == []
    assert digest(b"too much") not in objects
    assert objects.get(objects.put(b"too much")) == b"too much"


def test_a_failing_write_keeps_what_was_there(
    objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = objects.put(b"first")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(GreenroomError):
        objects.put(b"second")
    assert list(objects) == [first] and objects.get(first) == b"first"


def test_a_folder_that_cannot_be_made_is_told_in_our_words(tmp_path: Path) -> None:
    (tmp_path / "objects").write_bytes(b"a file where the folder should be")
    with pytest.raises(GreenroomError, match="cannot write"):
        Objects(tmp_path / "objects").put(b"x")


def test_a_folder_that_cannot_be_made_durable_is_told_in_our_words(
    objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync, calls = os.fsync, []

    def second_fails(handle: int) -> None:
        calls.append(handle)
        if len(calls) == 2:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", second_fails)
    with pytest.raises(GreenroomError, match="cannot write"):
        objects.put(b"x")


@pytest.mark.parametrize("name", ["", "abc", "A" * 64, "../" + "0" * 61, "0" * 65, "0" * 64 + "\n"])
def test_a_name_that_is_no_hash_is_bad_input(objects: Objects, name: str) -> None:
    with pytest.raises(BadInput, match="not an object's hash"):
        objects.get(name)


def test_a_missing_object_is_bad_input(objects: Objects) -> None:
    with pytest.raises(BadInput, match="not in this workspace"):
        objects.get("0" * 64)
    assert "0" * 64 not in objects and list(objects) == []


def test_stray_files_are_no_objects(objects: Objects) -> None:
    name = objects.put(b"x")
    (objects.path(name).parent / ".new-stray").write_bytes(b"x")
    (objects.root / "notes").write_bytes(b"x")
    assert list(objects) == [name]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 2**53, -(2**53)])
def test_what_has_no_canonical_form_is_refused(value: float) -> None:
    with pytest.raises(BadInput, match="no canonical form"):
        canonical({"kind": "take", "value": value})


def test_canonical_is_rfc_8785(objects: Objects) -> None:
    # The sample of RFC 8785, section 3.2.2, without its escapes' noise.
    value = {"numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 1e-27], "literals": [None, True]}
    assert canonical(value) == (
        b'{"literals":[null,true],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27]}'
    )
    assert canonical({"b": 1, "a": "€"}) == '{"a":"€","b":1}'.encode()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=5))
def test_the_order_of_keys_does_not_matter(manifest: dict[str, object]) -> None:
    assert canonical(dict(reversed(manifest.items()))) == canonical(manifest)


def test_manifests_know_their_kind(objects: Objects) -> None:
    medium = Medium(format="bvh", blob=EMPTY)
    manifest = Take(media={"body": medium}, clock=TakeClock(ticks=3))
    name = objects.put_manifest(manifest)
    assert objects.read_any(name) == objects.read(name, Take) == manifest
    with pytest.raises(BadInput, match="is a take, not a release"):
        objects.read(name, ReleaseManifest)


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"HIERARCHY", b'{"kind":', b"{\xff}", b'{"a":' * 100_000]
)
def test_bytes_are_not_a_manifest(objects: Objects, data: bytes) -> None:
    with pytest.raises(BadInput, match="not a manifest"):
        objects.read_any(objects.put(data))
