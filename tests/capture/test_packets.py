import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenroom.capture.packets import (
    AUDIO_BYTES,
    BODY_BYTES,
    FIRST_OF_CLIP,
    BodySample,
    Packet,
    TakePlayer,
    decode,
    encode_audio,
    encode_body,
)
from greenroom.clock import tick_ns
from greenroom.errors import BadInput
from greenroom.frames import HUMANOID, SAMPLES_PER_TICK, Body
from greenroom.rotations import normalise


def body(ticks: int, seed: int = 0) -> Body:
    rng = np.random.default_rng(seed)
    rotations = normalise(rng.normal(size=(ticks, 55, 4))).astype(np.float32)
    validity = (rng.uniform(size=(ticks, 55)) < 0.8).astype(np.float32)
    rotations[validity == 0] = np.nan
    return Body(HUMANOID, rng.normal(size=(ticks, 3)).astype(np.float32), rotations, validity)


def sound(ticks: float, seed: int = 0) -> np.ndarray:
    samples = np.random.default_rng(seed).normal(0, 0.1, int(ticks * SAMPLES_PER_TICK))
    return samples.astype(np.float32)


def body_packet(tick: int = 3, flags: int = 0) -> bytes:
    one = body(1)
    return encode_body(tick, one.root[0], one.rotations[0], one.validity[0], flags)


def split(packets: list[Packet]) -> tuple[list[BodySample], list[np.ndarray]]:
    found = [decode(packet.data) for packet in packets]
    bodies = [sample for sample in found if isinstance(sample, BodySample)]
    return bodies, [sample for sample in found if not isinstance(sample, BodySample)]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans(), st.integers(0, 2**32 - 1))
def test_a_body_packet_round_trips_bit_for_bit(tick: int, first: bool, seed: int) -> None:
    one = body(1, seed)
    flags = FIRST_OF_CLIP if first else 0
    data = encode_body(tick, one.root[0], one.rotations[0], one.validity[0], flags)
    sample = decode(data)
    assert isinstance(sample, BodySample) and len(data) == BODY_BYTES
    assert (sample.tick, sample.first_of_clip) == (tick, first)
    assert sample.root.tobytes() == one.root.tobytes()
    assert sample.rotations.tobytes() == one.rotations.tobytes()
    assert sample.validity.tobytes() == one.validity.tobytes()
    assert encode_body(tick, sample.root, sample.rotations, sample.validity, flags) == data


def test_an_audio_packet_round_trips_bit_for_bit() -> None:
    samples = sound(1)
    data = encode_audio(9, samples)
    assert len(data) == AUDIO_BYTES
    assert decode(data).tobytes() == samples.tobytes()


def test_the_layout_is_the_documented_one() -> None:
    data = body_packet(tick=0x01020304, flags=1)
    assert data[:8] == b"GR\x01\x01\x04\x03\x02\x01"
    assert struct.unpack_from("<3f", data, 8) == tuple(body(1).root[0].tolist())
    assert encode_audio(5, sound(1))[:8] == b"GR\x02\x00\x05\0\0\0"


def test_a_packet_cut_short_or_grown_is_bad_input() -> None:
    for data in (body_packet(), encode_audio(0, sound(1))):
        for length in (*range(12), len(data) // 2, len(data) - 4, len(data) - 1):
            with pytest.raises(BadInput):
                decode(data[:length])
        for more in (b"\0", b"\0" * 4):
            with pytest.raises(BadInput):
                decode(data + more)


def test_another_kind_or_magic_is_bad_input() -> None:
    data = body_packet()
    for bit in range(24):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BadInput):
            decode(bytes(damaged))


@given(st.binary(max_size=64))
def test_any_bytes_are_bad_input_and_nothing_else(data: bytes) -> None:
    with pytest.raises(BadInput):
        decode(data)


def test_a_take_plays_each_tick_when_it_is_due() -> None:
    take = body(4)
    player = TakePlayer(take, sound(4), firsts=(0, 2))
    assert player.ticks == 4 and player.poll(-1) == []
    for tick in range(4):
        assert player.poll(tick_ns(tick) - 1) == []
        packets = player.poll(tick_ns(tick))
        assert [packet.arrival_ns for packet in packets] == [tick_ns(tick)] * 2
        [sample], [samples] = split(packets)
        assert (sample.tick, sample.first_of_clip) == (tick, tick in (0, 2))
        np.testing.assert_array_equal(sample.rotations, take.rotations[tick])
        start = tick * SAMPLES_PER_TICK
        np.testing.assert_array_equal(samples, sound(4)[start : start + SAMPLES_PER_TICK])
    assert player.poll(tick_ns(100)) == []
    player.close()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, tick_ns(12)), max_size=8))
def test_whenever_it_is_asked_each_tick_plays_once_in_order(times: list[int]) -> None:
    player = TakePlayer(body(10), None)
    packets = [p for now in [*sorted(times), tick_ns(9)] for p in player.poll(now)]
    assert [sample.tick for sample in split(packets)[0]] == list(range(10))
    assert [p.arrival_ns for p in packets] == sorted(p.arrival_ns for p in packets)


def test_in_a_cut_the_body_is_lost_and_the_sound_goes_on() -> None:
    player = TakePlayer(body(8), sound(8), cuts=((2, 4), (6, 7)))
    bodies, sounds = split(player.poll(tick_ns(7)))
    assert [sample.tick for sample in bodies] == [0, 1, 4, 5, 7]
    assert len(sounds) == 8


def test_sound_too_short_is_padded_with_silence() -> None:
    _, sounds = split(TakePlayer(body(3), sound(1.5)).poll(tick_ns(2)))
    assert len(sounds) == 3 and all(len(samples) == SAMPLES_PER_TICK for samples in sounds)
    half = SAMPLES_PER_TICK // 2
    assert (sounds[1][:half] != 0).all() and (sounds[1][half:] == 0).all()
    assert (sounds[2] == 0).all()


def test_sound_alone_lasts_as_long_as_it_is() -> None:
    player = TakePlayer(None, sound(2.5))
    assert player.ticks == 3
    bodies, sounds = split(player.poll(tick_ns(10)))
    assert bodies == [] and len(sounds) == 3
    assert TakePlayer(None, None).poll(tick_ns(10)) == []
