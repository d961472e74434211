"""Opinions and agreement with known answers."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenroom.errors import BadInput
from greenroom.metrics.study import Rating, agreement, difference, opinions

# Krippendorff 2011, "Computing Krippendorff's alpha-reliability", section C: four observers, twelve
# units, missing data. Ordinal α 0.815, interval α 0.849.
OBSERVED = ("123321412...", "1233224125.3", ".3332342251.", "12332441251.")


def table(rows: tuple[str, ...]) -> list[Rating]:
    return [
        Rating(f"u{unit}", f"r{rater}", "model", float(said))
        for rater, row in enumerate(rows)
        for unit, said in enumerate(row)
        if said != "."
    ]


def test_agreement_is_krippendorffs_own_example() -> None:
    assert agreement(table(OBSERVED), "ordinal") == pytest.approx(0.815, abs=5e-4)
    assert agreement(table(OBSERVED), "interval") == pytest.approx(0.849, abs=5e-4)
    with pytest.raises(BadInput, match="ordinal or interval"):
        agreement(table(OBSERVED), "nominal")


def test_all_alike_is_one_chance_is_nothing_and_no_variation_is_unknown() -> None:
    assert agreement(table(("12345", "12345", "12345"))) == 1
    assert agreement(table(("15", "51")), "interval") < 0
    assert math.isnan(agreement(table(("333", "333"))))
    assert math.isnan(agreement(table(("1....", ".2345"))))  # nobody rated the same twice
    rng = np.random.default_rng(0)
    noise = tuple("".join(map(str, rng.integers(1, 6, 400))) for _ in range(4))
    assert abs(agreement(table(noise))) < 0.05


@given(st.permutations(range(12)), st.permutations(range(4)))
def test_agreement_knows_no_order(units: list[int], raters: list[int]) -> None:
    moved = tuple("".join(OBSERVED[r][u] for u in units) for r in raters)
    assert agreement(table(moved)) == pytest.approx(agreement(table(OBSERVED)))


def study(raters: int, gap: float, strict: float, seed: int = 0) -> list[Rating]:
    """Raters who differ in strictness and hear a model as `gap` worse than the truth."""
    rng = np.random.default_rng(seed)
    out = []
    for r in range(raters):
        own = rng.normal(0, strict)
        for clip in range(10):
            for condition, level in (("truth", 3.5), ("model", 3.5 - gap)):
                value = float(np.clip(level + own + rng.normal(0, 0.3), 1, 5))
                out.append(Rating(f"c{clip}", f"r{r}", condition, value))
    return out


def test_opinions_are_means_with_an_interval_over_raters() -> None:
    ratings = study(12, 0.5, 0.5)
    found = opinions(ratings)
    for condition, opinion in found.items():
        values = [r.value for r in ratings if r.condition == condition]
        assert opinion.mean == pytest.approx(np.mean(values))
        assert opinion.low < opinion.mean < opinion.high and opinion.raters == 12
        # Raters are what varies: half of the width is about 2 σ / sqrt(raters), not / sqrt(ratings).
        assert 0.3 < opinion.high - opinion.low < 1.2
    mean, low, high = difference(ratings, "model", "truth")
    assert mean == pytest.approx(found["model"].mean - found["truth"].mean)
    assert low < mean < high < -0.3 and high - low < 0.25  # strictness drops out
    assert opinions(ratings) == found


def test_a_single_rater_has_no_interval() -> None:
    (opinion,) = opinions([Rating("c", "r", "model", 4.0)]).values()
    assert opinion.mean == 4 and math.isnan(opinion.low) and opinion.ratings == 1
    assert math.isnan(difference([Rating("c", "r", x, 4.0) for x in "ab"], "a", "b")[1])
    with pytest.raises(BadInput, match="one rating at least"):
        opinions([])
    with pytest.raises(BadInput, match="nobody rated 'x'; there are model"):
        difference([Rating("c", "r", "model", 4.0)], "model", "x")


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    inside = 0
    for seed in range(100):
        opinion = opinions(study(15, 0.5, 0.4, seed))["truth"]
        inside += opinion.low <= 3.5 <= opinion.high
    assert inside >= 84
