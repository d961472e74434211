"""Styles: right about contents that were left out, and nobody's where the style was never seen."""

import numpy as np
import pytest

from greenroom.contracts import ModelShape

pytestmark = pytest.mark.train
STATE, STYLES, CONTENTS = 10, 4, 5
RANDOM = np.random.default_rng(0)
LOOKS = 0.8 * RANDOM.normal(size=(STYLES + 1, STATE))
SHOWS = RANDOM.normal(size=(CONTENTS, STATE))


def _take(style: int, content: int, seed: int, ticks: int = 90):
    """A posture of the style about a movement of the content, with a drift of its own."""
    import torch

    random = np.random.default_rng(seed)
    swing = (
        np.sin(np.arange(ticks) / (4 + content) + random.uniform(0, 6))[:, None] * SHOWS[content]
    )
    own = 0.15 * random.normal(size=STATE)
    rows = LOOKS[style] + swing + own + 0.05 * random.normal(size=(ticks, STATE))
    return torch.from_numpy(rows.astype(np.float32))


def _fitted(contents=range(CONTENTS - 1), labelled=True):
    from greenroom.networks.style import StyleHead
    from greenroom.training.style_fit import LabelledTakes, fit_styles

    takes, kinds, shows = [], [], []
    for style in range(STYLES):
        for content in contents:
            for n in range(4):
                takes.append(_take(style, content, 100 * style + 10 * content + n))
                kinds.append(style)
                shows.append(f"content {content}" if labelled else f"take {len(shows)}")
    style = StyleHead(ModelShape(1, STATE, 3, styles=STYLES))
    return style.eval(), fit_styles(style, LabelledTakes(takes, kinds, shows))


def _say(style, takes):
    import torch

    with torch.no_grad():
        return torch.cat([style(t.unfold(0, 30, 10).transpose(1, 2)) for t in takes]).numpy()


@pytest.mark.parametrize("labelled", [True, False])
def test_a_content_left_out_is_told_right_and_a_new_style_is_doubted(labelled: bool) -> None:
    style, figures = _fitted(labelled=labelled)
    known = [_say(style, [_take(k, CONTENTS - 1, 900 + k)]) for k in range(STYLES)]
    right = np.concatenate([said.argmax(axis=1) == k for k, said in enumerate(known)])
    sure = np.concatenate([said.max(axis=1) for said in known])
    stranger = _say(style, [_take(STYLES, c, 800 + c) for c in range(CONTENTS)]).max(axis=1)
    assert right.mean() > 0.95
    assert (sure[:, None] > stranger[None]).mean() > 0.9
    assert figures["style_left_out_accuracy"] > 0.9 and figures["style_doubt_rate"] > 0


def test_far_from_everything_nothing_is_likely() -> None:
    style, _ = _fitted()
    said = _say(style, [40.0 + _take(0, 0, 1)])
    np.testing.assert_allclose(said, 1 / STYLES, atol=0.15)
    np.testing.assert_allclose(said.sum(axis=1), 1, atol=1e-5)


def test_the_same_takes_give_the_same_numbers() -> None:
    first, second = (_fitted()[0].state_dict() for _ in range(2))
    assert all((first[name] == second[name]).all() for name in first)


def test_one_content_and_two_styles_are_enough_to_be_fitted() -> None:
    from greenroom.networks.style import StyleHead
    from greenroom.training.style_fit import LabelledTakes, fit_styles

    style = StyleHead(ModelShape(1, STATE, 3, styles=2))
    takes = [_take(k, 0, 10 * k + n) for k in range(2) for n in range(3)]
    figures = fit_styles(style, LabelledTakes(takes, [0, 0, 0, 1, 1, 1], ["same"] * 6))
    assert "style_left_out_accuracy" not in figures  # there was nothing to leave out
    assert (_say(style, takes[:3]).argmax(axis=1) == 0).all()
