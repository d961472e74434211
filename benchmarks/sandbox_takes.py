"""How many takes the sandbox needs to tell two models apart, as Markdown for docs/explanation/sandbox.md."""

import numpy as np

from greenroom.metrics.sequences import log_capital

RUNS, MOST, LIMIT = 300, 1000, np.log(20)


def takes(mean: float, spread: float, rng: np.random.Generator) -> list[int]:
    """Return after how many takes each run is told apart; MOST + 1 where it is not."""
    out = []
    for _ in range(RUNS):
        gains = np.clip(rng.normal(mean, spread, MOST), -1, 1)
        course = log_capital(gains, np.zeros(1))
        out.append(next((n for n, c in enumerate(course, 1) if c[0] >= LIMIT), MOST + 1))
    return out


def main() -> None:
    """Print the table."""
    spreads = (0.05, 0.1, 0.2, 0.4)
    print("| mean gain | " + " | ".join(f"sd {s}" for s in spreads) + " |")
    print("|---" * (len(spreads) + 1) + "|")
    rng = np.random.default_rng(0)
    for mean in (0.3, 0.1, 0.05, 0.02):
        cells = []
        for spread in spreads:
            middle, ninth = (int(v) for v in np.quantile(takes(mean, spread, rng), (0.5, 0.9)))
            cells.append(" (".join(str(v) if v <= MOST else "more" for v in (middle, ninth)) + ")")
        print(f"| {mean} | " + " | ".join(cells) + " |")
    wrong = [np.mean(np.asarray(takes(0.0, spread, rng)) <= MOST) for spread in spreads]
    print("| 0 | " + " | ".join(f"{w:.1%}" for w in wrong) + " |")


main()
