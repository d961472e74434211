"""Score the voice's chart on real voices, in control and changed; prints a Markdown table.

Usage: PYTHONPATH=src python benchmarks/signals.py

The reference is four fifths of a voice's recordings, the stream the others in random order: 24 hours in
control, and for each change a minute as it is and a minute changed, with five seeds. The recordings are read
from $GREENROOM_SHARED_DATA (default ../shared/data); see their licences.
"""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from greenroom.capture.formats.wav import read_audio
from greenroom.features.speech import extract_speech
from greenroom.frames import SAMPLES_PER_TICK
from greenroom.monitoring.charts.signals import VOICE, SignalChart, voice_rows

DATA = Path(os.environ.get("GREENROOM_SHARED_DATA", "../shared/data"))
MINUTE, DAY = 1800, 2_592_000
TONGUES = ("en", "es", "fr")
SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo")
SEEDS = range(5)


def rows(sound: np.ndarray) -> np.ndarray:
    """Return the signals of a recording."""
    features = extract_speech(sound)
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

    heard_once, rng = [rows(sound) for sound in held], np.random.default_rng(0)
    chart.reset()
    while chart.tick < DAY:
        for row in heard_once[rng.integers(len(held))]:
            chart.update(row)
    named = sorted({f"{alert.signal} ({alert.cause})" for alert in chart.alerts})
    said = ", ".join(named) or "–"
    print(f"| {name} | nothing, 24 h | – | – | {len(chart.alerts)} | – | {said} |", flush=True)
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
    voices = {
        tongue: read(f"asterisk_prompts_multilingual/{tongue}", "*.wav") for tongue in TONGUES
    }
    digits = {who: read("fsdd_spoken_digits", f"*_{who}_*.wav") for who in SPEAKERS}
    for tongue, prompts in voices.items():
        others = {f"the voice of {o}": voices[o] for o in TONGUES if o != tongue}
        others |= {f"digits, {who}": spoken for who, spoken in digits.items()}
        for seed in range(3):
            order = np.random.default_rng(seed).permutation(len(prompts))
            share = round(0.8 * len(prompts))
            chart = SignalChart(VOICE).fit([rows(prompts[i]) for i in order[:share]])
            score(f"{tongue}, split {seed}", chart, [prompts[i] for i in order[share:]], others)
    few = SignalChart(VOICE).fit([rows(d) for d in digits["george"]])
    seconds = sum(map(len, digits["george"])) / 24_000
    print(f"\n{seconds:.0f} s of digits as a reference: learning: {few.learning}")


main()
