"""Conformance suite of file formats."""

from __future__ import annotations

import re
from collections.abc import Mapping as AnyMapping

import numpy as np

from greenroom.capture.readers import FORMATS, MEDIA, Reader, Recording, readers
from greenroom.capture.skeleton.mapping import AUTOMATIC, Mapping
from greenroom.errors import BadInput
from greenroom.frames import Floats

JUNK = (b"", b"\0" * 5000, b"HIERARCHY", b"{}", b"RIFF", b"[" * 9999, b"\xff\xfe" * 40)
"""Data of no format, and beginnings of some."""
MUTATIONS = 200


def check_format(
    reader: Reader,
    sample: bytes,
    *,
    mapping: Mapping = AUTOMATIC,
    foreign: AnyMapping[str, bytes] | None = None,
) -> None:
    """Check a reader of a file format.

    Args:
        reader: an instance of the plug-in's class.
        sample: bytes of a file that it reads.
        mapping: names and units that the sample needs.
        foreign: name → bytes of files of other formats.

    Raises:
        AssertionError: the reader breaks a rule; the message says which.
    """
    _check_description(reader)
    _check_sniffing(reader, sample, foreign or {})
    recording = reader.read(sample, "sample", mapping)
    _check_recording(reader, sample, recording)
    _check_same_bits(recording, reader.read(sample, "sample", mapping))
    _check_errors(reader, sample, mapping)


def _check_description(reader: Reader) -> None:
    assert isinstance(reader.name, str) and re.fullmatch(r"[a-z][a-z0-9_-]*", reader.name), (
        f"the name {reader.name!r} is not lower-case letters, digits, '-' and '_'"
    )
    assert reader.suffixes, "suffixes is empty: folders are searched by file endings"
    for suffix in reader.suffixes:
        assert suffix.startswith(".") and suffix == suffix.lower(), (
            f"the suffix {suffix!r} does not begin with a dot, or is not in lower case"
        )
    assert "source → ours" in (type(reader).__doc__ or ""), (
        "the class's docstring does not say 'source → ours' for units, axes, order and rate"
    )


def _check_sniffing(reader: Reader, sample: bytes, foreign: AnyMapping[str, bytes]) -> None:
    name = f"take{reader.suffixes[0]}"
    assert reader.sniff(sample[:4096], name), f"sniff does not recognise the sample as {name}"
    for junk in (b"", b"\0" * 100, b"GIF89a"):
        assert not reader.sniff(junk, "take.bin"), f"sniff claims {junk[:8]!r} as take.bin"
    for other, data in foreign.items():
        assert not reader.sniff(data[:4096], "take.bin"), f"sniff claims a file of {other}"
    for own in readers():
        if own.name in FORMATS.built_in and own.name != reader.name:
            assert not own.sniff(sample[:4096], name), (
                f"the format {own.name} claims {name} first: use another suffix or first bytes"
            )


def _check_recording(reader: Reader, sample: bytes, recording: Recording) -> None:
    assert isinstance(recording, Recording), f"read returns {recording!r}, which is no Recording"
    assert recording.seconds >= 0, f"the recording lasts {recording.seconds} seconds"
    assert recording.originals and set(recording.originals) <= set(MEDIA), (
        f"originals has {sorted(recording.originals)}; it must be some of {', '.join(MEDIA)}"
    )
    for medium, original in recording.originals.items():
        assert original.data == sample, f"the original of {medium} has other bytes than the file"
        assert original.format == reader.name, (
            f"the original of {medium} has the format {original.format!r}, not {reader.name!r}"
        )
        content = getattr(recording, medium)
        assert content is not None, f"the recording names {medium} in originals and has none"
    if recording.body is not None:
        _check_body(recording)
    if recording.face is not None:
        missing = np.isnan(recording.face.weights)
        assert (missing == (recording.face.validity == 0)).all(), (
            "face weights must be NaN exactly where their validity is 0"
        )
    if recording.audio is not None:
        samples = recording.audio.samples
        assert samples.dtype == np.float32 and samples.ndim == 1, "the sound is not mono float32"
        assert np.isfinite(samples).all(), "the sound has samples that are not finite"


def _check_body(recording: Recording) -> None:
    body = recording.body
    assert body is not None and recording.motion is not None, (
        "a body comes without the motion of its source's own skeleton"
    )
    assert body.rotations.dtype == body.root.dtype == np.float32, "the body is not float32"
    valid = body.validity > 0
    assert np.isfinite(body.rotations[valid]).all(), (
        "a valid joint has a rotation that is no number"
    )
    assert np.isnan(body.rotations[~valid]).all(), "a missing joint has a rotation: give NaN"
    lengths = np.linalg.norm(body.rotations[valid], axis=-1)
    assert np.allclose(lengths, 1.0, atol=1e-5), "a rotation is not a unit quaternion"


def _check_same_bits(first: Recording, second: Recording) -> None:
    assert first.facts == second.facts, "reading the sample twice gives other facts"
    pairs = zip(_arrays(first), _arrays(second), strict=True)
    same = all(a.tobytes() == b.tobytes() for a, b in pairs)
    assert same, "reading the sample twice gives other bits"


def _arrays(recording: Recording) -> list[Floats]:
    body, face, audio = recording.body, recording.face, recording.audio
    out = [] if body is None else [body.rotations, body.root, body.validity]
    out += [] if face is None else [face.weights, face.validity]
    return out + ([] if audio is None else [audio.samples])


def _check_errors(reader: Reader, sample: bytes, mapping: Mapping) -> None:
    for junk in JUNK:
        _read_or_refuse(reader, junk, mapping, must_refuse=True)
    rng = np.random.default_rng(0)
    for _ in range(MUTATIONS):
        data = bytearray(sample)
        at = int(rng.integers(len(data) + 1))
        data[at : at + int(rng.integers(200))] = rng.bytes(int(rng.integers(20)))
        if rng.integers(2):
            del data[int(rng.integers(len(data) + 1)) :]
        _read_or_refuse(reader, bytes(data), mapping)


def _read_or_refuse(
    reader: Reader, data: bytes, mapping: Mapping, *, must_refuse: bool = False
) -> None:
    try:
        recording = reader.read(data, "damaged", mapping)
    except BadInput as error:
        assert not must_refuse or error.then, f"the error '{error}' does not say what to do next"
        return
    except Exception as error:
        message = f"damaged data raises {error!r}; it must raise BadInput: {data[:60]!r}…"
        raise AssertionError(message) from error
    assert not must_refuse, f"data of no format is read as a recording: {data[:20]!r}"
    _check_recording(reader, data, recording)
