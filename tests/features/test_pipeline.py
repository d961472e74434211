from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenroom.errors import BadInput
from greenroom.features.pipeline import VERSION, FeaturePipeline, Features, FeatureSpec
from greenroom.frames import BONES, SAMPLES_PER_TICK, Floats
from greenroom.rotations import normalise

SPEC = FeatureSpec(("hips", "spine", "leftUpperArm", "rightHand"))
TICKS = 24


def recording(seed: int) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Random ticks: some bones missing, some ticks without hips, root or sound."""
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(TICKS, 3)).astype(np.float32)
    rotations = normalise(rng.normal(size=(TICKS, 55, 4))).astype(np.float32)
    validity = rng.choice([0.0, 0.5, 1.0], (TICKS, 55), p=[0.2, 0.2, 0.6]).astype(np.float32)
    lost = rng.uniform(size=TICKS) < 0.2
    validity[lost], root[lost] = 0, np.nan
    rotations[validity <= 0] = np.nan
    audio = rng.normal(0, 0.1, (TICKS, SAMPLES_PER_TICK)).astype(np.float32)
    speech_mask = (rng.uniform(size=TICKS) < 0.7).astype(np.float32)
    audio[speech_mask == 0] = np.nan
    return root, rotations, validity, audio, speech_mask


def chunked(tracks: tuple[Floats, ...], cuts: list[int]) -> list[Features]:
    pipeline = FeaturePipeline(SPEC)
    edges = [0, *sorted(cuts), TICKS]
    return [
        pipeline.run(*(np.ascontiguousarray(track[a:b]) for track in tracks))
        for a, b in zip(edges, edges[1:], strict=False)
    ]


def bits(parts: list[Features]) -> dict[str, bytes]:
    names = ("state", "velocity", "valid", "speech", "speech_mask")
    return {name: np.concatenate([getattr(p, name) for p in parts]).tobytes() for name in names}


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sets(st.integers(1, TICKS - 1)))
def test_cutting_a_take_into_chunks_changes_no_bit(seed: int, cuts: set[int]) -> None:
    tracks = recording(seed)
    assert bits(chunked(tracks, list(cuts))) == bits(chunked(tracks, []))


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_a_tick_at_a_time_changes_no_bit(seed: int) -> None:
    tracks = recording(seed)
    assert bits(chunked(tracks, list(range(1, TICKS)))) == bits(chunked(tracks, []))


def test_reset_forgets_the_past() -> None:
    tracks = recording(5)
    pipeline = FeaturePipeline(SPEC)
    first = pipeline.run(*tracks)
    pipeline.reset()
    assert bits([pipeline.run(*tracks)]) == bits([first])


def test_shapes_and_what_is_missing() -> None:
    root, rotations, validity, audio, speech_mask = recording(6)
    [out] = chunked((root, rotations, validity, audio, speech_mask), [])
    assert out.state.shape == (TICKS, SPEC.state_width) and out.state.shape[1] == 28
    assert out.velocity.shape == (TICKS, 24) and out.speech.shape == (TICKS, 43)
    index = [BONES.index(name) for name in SPEC.joints]
    np.testing.assert_array_equal(out.valid, validity[:, index])
    missing = np.repeat(out.valid <= 0, 6, axis=1)
    np.testing.assert_array_equal(np.isnan(out.state[:, :24]), missing)
    before = np.concatenate([np.ones((1, 24), bool), missing[:-1]])
    np.testing.assert_array_equal(np.isnan(out.velocity), missing | before)
    assert np.isfinite(out.speech).all()
    assert {a.dtype.name for a in vars(out).values()} == {"float32"}


def test_velocity_is_the_difference_a_second() -> None:
    tracks = recording(7)
    [out] = chunked(tracks, [])
    wanted = (out.state[1:, :24] - out.state[:-1, :24]) * np.float32(30)
    np.testing.assert_array_equal(out.velocity[1:], wanted)


def test_a_bone_that_is_not_trusted_is_missing_whatever_it_holds() -> None:
    root, rotations, validity, audio, speech_mask = recording(8)
    [wanted] = chunked((root, rotations, validity, audio, speech_mask), [])
    rotations = np.where(validity[..., None] > 0, rotations, np.float32(0.5))
    assert bits(chunked((root, rotations, validity, audio, speech_mask), [])) == bits([wanted])


def test_what_was_not_heard_is_silence() -> None:
    root, rotations, validity, audio, speech_mask = recording(9)
    [wanted] = chunked((root, rotations, validity, audio, speech_mask), [])
    audio = np.nan_to_num(audio)
    everything = np.ones_like(speech_mask)
    [out] = chunked((root, rotations, validity, audio, everything), [])
    np.testing.assert_array_equal(out.speech, wanted.speech)


def test_the_specifications_hash_is_stable() -> None:
    # Changing this line means that every dataset and model has to be made again: raise VERSION.
    assert SPEC.hash == FeatureSpec(SPEC.joints).hash
    assert VERSION == 2
    assert SPEC.hash[:16] == "43ba0a8d7238215d"
    assert SPEC.hash != FeatureSpec(("hips", "spine", "rightHand", "leftUpperArm")).hash


def test_a_specification_round_trips() -> None:
    manifest = SPEC.manifest()
    assert FeatureSpec.load(manifest) == SPEC
    assert FeatureSpec.load(manifest).hash == SPEC.hash


@pytest.mark.parametrize(
    "change",
    [
        {"version": 1},
        {"version": 3},
        {"version": 0},
        {"mel_bands": 80},
        {"tick_hz": 60},
        {"window": 2048},
        {"sample_rate": 48000},
        {"root": ["height"]},
        {"joints": ["spine", "hips"]},
        {"joints": ["hips", "tail"]},
        {"joints": []},
    ],
)
def test_another_specification_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        FeatureSpec.load(msgspec.structs.replace(SPEC.manifest(), **change))
