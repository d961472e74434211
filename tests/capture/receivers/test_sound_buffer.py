"""A sound card's clock against ours: the sound neither runs dry nor piles up."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenroom.capture.receivers.sound_buffer import SoundBuffer
from greenroom.clock import NS_PER_S, tick_ns
from greenroom.frames import SAMPLE_RATE, Floats

BLOCK = 400
SILENCE = np.zeros(BLOCK, np.float32)


class Card:
    """A simulated sound card: a tone, a block each 400 samples of its own clock, a little late.

    Args:
        ppm: by which its clock runs faster than ours.
        seed: of how late each block is, up to 4 ms.
    """

    def __init__(self, ppm: float, seed: int = 0, hertz: float = 220.0) -> None:
        self.rate = SAMPLE_RATE * (1 + ppm / 1e6)
        self.hertz, self.blocks, self.paused_ns = hertz, 0, 0
        self._late = np.random.default_rng(seed).integers(0, 4_000_000, 997).tolist()
        self._next_ns = self._due()

    def _due(self) -> int:
        end_s = (self.blocks + 1) * BLOCK / self.rate
        return round(end_s * 1e9) + self._late[self.blocks % 997] + self.paused_ns

    def sound(self, true_s: Floats) -> Floats:
        return np.sin(2 * np.pi * self.hertz * true_s)

    def run(self, buffer: SoundBuffer, now_ns: int, silent: bool = False) -> None:
        """Hand over every block until now."""
        while self._next_ns <= now_ns:
            if silent:
                buffer.push(SILENCE, self._next_ns)
                self.blocks += 1
                self._next_ns = max(self._next_ns, self._due())
                continue
            numbers = self.blocks * BLOCK + np.arange(BLOCK)
            samples = self.sound((numbers + 1) / self.rate)
            buffer.push(samples.astype(np.float32), self._next_ns)
            self.blocks += 1
            self._next_ns = max(self._next_ns, self._due())


@pytest.mark.parametrize("ppm", [-50.0, 50.0])
def test_four_hours_neither_run_dry_nor_pile_up(ppm: float) -> None:
    """Looked at for ten ticks in each minute; between them blocks only come."""
    card, buffer = Card(ppm), SoundBuffer()
    waits = []
    for tick in range(4 * 3600 * 30):
        now = tick_ns(tick)
        looked_at = tick < 300 or tick % 1800 < 10
        card.run(buffer, now, silent=True)
        if looked_at and tick > 3:
            sound = buffer.pull(now)
            assert sound is not None and len(sound) == 800
            waits.append(now - buffer.clock.local_ns(buffer._position / SAMPLE_RATE))
    true_s = buffer._position / card.rate
    assert abs(tick_ns(4 * 3600 * 30 - 1800 + 9) - true_s * 1e9) < NS_PER_S / 30
    assert buffer.lost == 0 and buffer.clock.restarts == 0
    assert buffer.clock.skew_ppm == pytest.approx(ppm, abs=5)


def test_the_tone_comes_as_it_is_at_the_pace_of_our_clock() -> None:
    """A card 500 ppm fast for ten minutes: the tone has its pitch, and no sample is left out."""
    card, buffer, out = Card(500, seed=1), SoundBuffer(), []
    for tick in range(18_000):
        card.run(buffer, tick_ns(tick))
        sound = buffer.pull(tick_ns(tick))
        if tick > 17_000:
            assert sound is not None
            out.append(sound)
    tone = np.concatenate(out).astype(np.float64)
    seconds = np.arange(len(tone)) / SAMPLE_RATE
    basis = np.stack([np.sin(2 * np.pi * 220 * seconds), np.cos(2 * np.pi * 220 * seconds)], axis=1)
    parts = np.split(np.arange(len(tone)), 10)
    phases = []
    for part in parts:
        weights, *_ = np.linalg.lstsq(basis[part], tone[part], rcond=None)
        phases.append(np.arctan2(weights[1], weights[0]))
        assert np.sqrt(np.mean((basis[part] @ weights - tone[part]) ** 2)) < 0.05
    drift = np.unwrap(phases)
    assert abs(drift[-1] - drift[0]) < 2 * np.pi * 220 * 0.002  # 2 ms in 33 s, and not 16 ms
    assert buffer.lost == 0


def test_without_skew_the_samples_come_as_they_were() -> None:
    buffer = SoundBuffer(delay_ns=round(2e9 / 30))
    ramp = np.arange(24_000, dtype=np.float32) / 24_000
    for k in range(30):
        buffer.push(ramp[k * 800 : (k + 1) * 800], tick_ns(k + 1))
    for tick in range(4, 20):
        sound = buffer.pull(tick_ns(tick))
        assert sound is not None
        np.testing.assert_allclose(sound, ramp[(tick - 3) * 800 : (tick - 2) * 800], atol=1e-4)


def test_a_card_that_stops_and_comes_back_is_heard_again() -> None:
    card, buffer = Card(0, seed=2), SoundBuffer()
    heard = []
    for tick in range(300):
        now = tick_ns(tick)
        if 100 <= tick < 200:
            card.paused_ns = now - tick_ns(99)  # unplugged: its samples do not count on
            card._next_ns = card._due()
        else:
            card.run(buffer, now)
        heard.append(buffer.pull(now) is not None)
    assert all(heard[5:100]) and not any(heard[110:200]) and all(heard[206:])


def test_a_pull_is_quick() -> None:
    card, buffer = Card(50), SoundBuffer()
    spent = 0.0
    for tick in range(300):
        card.run(buffer, tick_ns(tick))
        start = time.process_time()
        buffer.pull(tick_ns(tick))
        spent += time.process_time() - start
    assert spent / 300 < 1e-3


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 1200), st.integers(0, 400_000_000)), max_size=40))
def test_whatever_blocks_come_it_is_800_finite_samples_or_nothing(
    blocks: list[tuple[int, int]],
) -> None:
    buffer, arrival, tick = SoundBuffer(), 0, 0
    for length, wait in blocks:
        arrival += wait
        while tick_ns(tick) < arrival:
            sound = buffer.pull(tick_ns(tick))
            assert sound is None or (len(sound) == 800 and np.isfinite(sound).all())
            tick += 1
        buffer.push(np.full(length, 0.5, np.float32), arrival)
    assert len(buffer._blocks) <= 64
