"""Score the voice's chart on real voices, in control and changed; prints a Markdown table.

Usage: PYTHONPATH=src python benchmarks/signals.py

The reference is every other recording of one speaker, the stream the others in random order: 20 minutes in
control, and for each change a minute as it is and a minute changed, with five seeds. The recordings are read
from $GREENROOM_SHARED_DATA (default ../shared/data); see their licences.
"""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from greenroom.capture.wav import read_audio
from greenroom.features.speech import heard
from greenroom.frames import SAMPLES_PER_TICK
from greenroom.monitoring.signals import VOICE, SignalChart, voice_rows

DATA = Path(os.environ.get("GREENROOM_SHARED_DATA", "../shared/data"))
MINUTE = 1800
SEEDS = range(5)


def rows(sound: np.ndarray) -> np.ndarray:
    """Return the signals of a recording."""
    features = heard(sound)
    whole = np.zeros(len(features) * SAMPLES_PER_TICK, np.float32)
    whole[: len(sound)] = sound
    return voice_rows(features, whole.reshape(len(features), -1))


def read(folder: str, pattern: str) -> list[np.ndarray]:
    """Return the recordings of a folder."""
    paths = sorted((DATA / folder).rglob(pattern))
    return [read_audio(path.read_bytes(), where=path.name).samples for path in paths]


def stream(parts: list[np.ndarray], ticks: int, rng: np.random.Generator) -> np.ndarray:
    """Return recordings in random order, for so long."""
    out: list[np.ndarray] = []
    while sum(map(len, out)) < ticks * SAMPLES_PER_TICK:
        out.append(parts[rng.integers(len(parts))])
    return np.concatenate(out)[: ticks * SAMPLES_PER_TICK]


def changes(sound: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return a sound with each fault."""
    rms = float(np.sqrt((sound**2).mean()))
    return {
        "level 20 dB down": sound * 0.1,
        "overdriven by 26 dB": np.clip(sound * 20, -1, 1),
        "white noise 10 dB below the voice": sound + rng.normal(0, 0.32 * rms, len(sound)),
        "line dead": sound * 0,
    }


def score(name: str, chart: SignalChart, held: list[np.ndarray], others: dict[str, list]) -> None:
    """Print the rows of one speaker."""

    def alerts(sound: np.ndarray) -> tuple:
        chart.reset()
        for row in rows(sound.astype(np.float32)):
            chart.update(row)
        return chart.alerts

    def print_row(change: str, make: Callable[[np.random.Generator], np.ndarray]) -> None:
        delays, named, missed, early, covered = [], {}, 0, 0, 0
        for seed in SEEDS:
            rng = np.random.default_rng(seed)
            found = alerts(np.concatenate([stream(held, MINUTE, rng), make(rng)]))
            early += sum(alert.tick <= MINUTE for alert in found)
            after = [alert for alert in found if alert.tick > MINUTE]
            missed += not after
            for alert in after:
                said = f"{alert.signal} ({alert.cause})"
                named[said] = named.get(said, 0) + 1
            if after:
                delays.append((after[0].tick - MINUTE) / 30)
                covered += after[0].began_low <= MINUTE <= after[0].began_high
        often = sorted(named, key=lambda said: -named[said])[:3]
        delay = f"{np.median(delays):.1f}" if delays else "–"
        cells = (delay, missed, early, f"{covered} of {len(delays)}", ", ".join(often) or "–")
        print(f"| {name} | {change} | " + " | ".join(map(str, cells)) + " |")

    control = len(alerts(stream(held, 20 * MINUTE, np.random.default_rng(0))))
    print(f"| {name} | nothing, 20 min | – | – | {control} | – | – |")
    for change in changes(held[0], np.random.default_rng(0)):
        print_row(
            change, lambda rng, change=change: changes(stream(held, MINUTE, rng), rng)[change]
        )
    for other, parts in others.items():
        print_row(other, lambda rng, parts=parts: stream(parts, MINUTE, rng))


def main() -> None:
    """Print the table."""
    print(
        "| reference | change | delay, s | missed of 5 | false | start in the set | most often named |"
    )
    print("|---|---|---|---|---|---|---|")
    prompts = read("asterisk_prompts_multilingual/en", "*.wav")
    score(
        "prompts, English",
        SignalChart(VOICE).fit([rows(p) for p in prompts[::2]]),
        prompts[1::2],
        {},
    )
    speakers = ("george", "jackson", "lucas", "nicolas", "theo")
    digits = {who: read("fsdd_spoken_digits", f"*_{who}_*.wav") for who in speakers}
    for who in speakers[:3]:  # the digits of the other two are too short to be a reference
        held = digits[who][2::3]
        chart = SignalChart(VOICE).fit([rows(d) for i, d in enumerate(digits[who]) if i % 3 != 2])
        others = {f"speaker {o}": digits[o] for o in speakers if o != who}
        score(f"digits, {who}", chart, held, others)


main()
