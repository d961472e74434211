import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from greenroom.capture.formats.pose_stream import read_pose_stream, write_pose_stream
from greenroom.capture.packets import BODY_BYTES, BodySample, encode_body
from greenroom.capture.readers import find_reader, read_recording
from greenroom.errors import BadInput
from greenroom.frames import BONES, HUMANOID


def sample(validity: np.ndarray, seed: int, placed: bool = True) -> BodySample:
    """A body with random rotations; missing bones are NaN, and so is its root if nobody placed it."""
    draws = np.random.default_rng(seed)
    rotations = draws.normal(size=(len(BONES), 4))
    rotations = (rotations / np.linalg.norm(rotations, axis=1, keepdims=True)).astype(np.float32)
    rotations[validity <= 0] = np.nan
    root = np.asarray([seed, 1, 0] if placed else [np.nan] * 3, dtype=np.float32)
    return BodySample(0, False, root=root, rotations=rotations, validity=validity)


masks = hnp.arrays(np.float32, len(BONES), elements=st.sampled_from([0.0, 0.5, 1.0]))


@given(st.lists(st.tuples(st.integers(1, 5), masks), min_size=1, max_size=6))
def test_what_was_captured_comes_back_with_its_gaps(steps: list[tuple[int, np.ndarray]]) -> None:
    ticks = np.cumsum([step for step, _ in steps]) - 1
    masks_of = {int(tick): mask for tick, (_, mask) in zip(ticks, steps, strict=True)}
    sent = {tick: sample(mask, seed=tick) for tick, mask in masks_of.items()}
    body = read_pose_stream(write_pose_stream(list(sent.items())), where="a.poses")
    assert len(body) == ticks[-1] + 1
    for tick in range(len(body)):
        if tick not in sent:
            assert not body.validity[tick].any() and np.isnan(body.rotations[tick]).all()
            continue
        assert body.validity[tick].tobytes() == sent[tick].validity.tobytes()
        valid = sent[tick].validity > 0
        assert (body.rotations[tick][valid] == sent[tick].rotations[valid]).all()
        assert np.isnan(body.rotations[tick][~valid]).all()
        assert body.root[tick].tolist() == sent[tick].root.tolist()
    assert np.isfinite(body.root).all()


def test_a_body_that_nobody_placed_stands_where_the_humanoid_does() -> None:
    whole = np.ones(len(BONES), dtype=np.float32)
    data = write_pose_stream([(0, sample(whole, 1, placed=False)), (1, sample(whole, 2, False))])
    body = read_pose_stream(data, where="a.poses")
    assert np.allclose(body.root, HUMANOID.offsets[0])
    data = write_pose_stream([(0, sample(whole, 1, placed=False)), (2, sample(whole, 7))])
    assert read_pose_stream(data, where="a.poses").root[:, 0].tolist() == [7, 7, 7]


def test_it_is_known_by_its_first_bytes() -> None:
    whole = np.ones(len(BONES), dtype=np.float32)
    data = write_pose_stream([(0, sample(whole, 1))])
    reader = find_reader(data, "anything")
    assert reader is not None and reader.name == "poses"
    recording = read_recording(data, "live.poses")
    assert recording.body is not None and recording.facts == {"ticks": 1, "missing": 0.0}


@given(st.data())
def test_damage_is_refused(data: st.DataObject) -> None:
    whole = np.ones(len(BONES), dtype=np.float32)
    stream = write_pose_stream([(tick, sample(whole, tick)) for tick in range(3)])
    cut = data.draw(st.integers(0, len(stream) - 1).filter(lambda n: n % BODY_BYTES))
    with pytest.raises(BadInput, match="cut off"):
        read_pose_stream(stream[:cut], where="a.poses")
    one = stream[:BODY_BYTES]
    with pytest.raises(BadInput, match="packet 1 .* is damaged"):
        read_pose_stream(one + one, where="a.poses")  # twice the same tick
    with pytest.raises(BadInput, match="packet 0 .* is damaged"):
        read_pose_stream(b"XX" + stream[2:], where="a.poses")


def test_a_tick_beyond_a_week_asks_for_no_memory() -> None:
    whole = sample(np.ones(len(BONES), dtype=np.float32), 1)
    data = encode_body(2**32 - 1, whole.root, whole.rotations, validity=whole.validity, flags=0)
    with pytest.raises(BadInput, match="damaged"):
        read_pose_stream(data, where="a.poses")
