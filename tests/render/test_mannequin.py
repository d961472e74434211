"""What is in a picture: where the figure is, which side is in front, what is left out."""

import io

import numpy as np
import pytest
from PIL import Image

from greenroom.errors import BadInput
from greenroom.frames import BONE, BONES, HUMANOID, LIMBS, Body
from greenroom.render.clips import ClipPanel, as_gif, clip_of, picture, side_by_side, still_of
from greenroom.render.mannequin import (
    LIT,
    View,
    draw,
    floor_of,
    frame_all,
    lost_limbs,
    shape_of,
)


def person(ticks: int = 6) -> Body:
    turns = np.tile(np.float32([0, 0, 0, 1]), (ticks, len(BONES), 1))
    root = np.tile(np.float32([0, 0.95, 0]), (ticks, 1))
    root[:, 2] = np.arange(ticks) / 30
    return Body(HUMANOID, root, turns, np.ones((ticks, len(BONES)), np.float32))


def pixels(image: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(image)).convert("RGB")).astype(int)


def test_a_sphere_is_a_disc_of_its_size_lit_from_above() -> None:
    ball = np.zeros((1, 2, 3)) + np.asarray([0, 1, 0])
    view = View(200, 200, 400.0, (0.0, 1.0, 0.0), 0, 0)
    shown = draw(ball, np.asarray([[0.2, 0.2]]), view, -5.0).astype(int).sum(axis=2)
    bare = draw(ball[:0], np.zeros((0, 2)), view, -5.0).astype(int).sum(axis=2)
    disc = np.abs(shown - bare) > 15
    assert disc.sum() == pytest.approx(np.pi * 80**2, rel=0.02)
    assert shown[40, 100] > shown[160, 100] and shown[100, 40] > shown[100, 160]


def test_what_is_nearer_hides_what_is_behind() -> None:
    ends = np.asarray([[[0, 1, 0.5]] * 2, [[0, 1, -0.5]] * 2], dtype=float)
    radii = np.full((2, 2), 0.2)
    view = View(100, 100, 200.0, (0.0, 1.0, 0.0), 0, 0)
    for order in ([0, 1], [1, 0]):
        marks = np.asarray([True, False])[order]
        red, _, blue = draw(ends[order], radii, view, -5.0, lost=marks)[50, 50].astype(int)
        assert red > 2 * blue  # the one in front has the colour of what was lost
    # A cone seen nearly from its thin end shows all of its thick one.
    thin = np.asarray([[[0, 1, 0], [0.02, 1, 0.4]]], dtype=float)
    shown = draw(thin, np.asarray([[0.2, 0.1]]), view, -5.0).astype(int).sum(axis=2)
    bare = draw(thin[:0], np.zeros((0, 2)), view, -5.0).astype(int).sum(axis=2)
    assert (np.abs(shown - bare) > 15).sum() == pytest.approx(np.pi * 40**2, rel=0.03)
    # A cone that points at the camera shows its near end, not its far one.
    cone = np.asarray([[[0, 1, 0], [0.001, 1, 0.6]]], dtype=float)
    assert draw(cone, np.asarray([[0.1, 0.2]]), view, -5.0)[50, 75].sum() > 250


def test_the_performers_left_hand_is_on_the_right_and_feet_touch_the_floor() -> None:
    ends, radii = shape_of(person())
    floor = floor_of(ends, radii)
    assert -0.03 < floor < 0.01
    view = frame_all(ends[:1], (300, 300), floor, 0)
    hand = view.sees(ends[0].reshape(-1, 3)[np.argmax(ends[0].reshape(-1, 3)[:, 0])])
    assert hand[0] > 0.5  # +X, in the picture's right
    seen = view.sees(ends[0])
    assert np.abs(seen[..., 0]).max() * view.scale < 150
    assert np.abs(seen[..., 1]).max() * view.scale < 150


def test_a_shadow_lies_under_the_feet_only() -> None:
    ends, radii = shape_of(person())
    view = View(200, 200, 90.0, (0.0, 0.8, 0.0), 0, 20)
    on = draw(ends[0], radii, view, floor_of(ends, radii)).astype(int).sum(axis=2)
    off = draw(ends[0] + [0, 1.5, 0], radii, view, floor_of(ends, radii)).astype(int).sum(axis=2)
    between = slice(164, 172), slice(96, 104)  # the floor between the feet
    assert on[between].mean() < off[between].mean() - 40
    assert on[164:172, :10].mean() == pytest.approx(off[164:172, :10].mean(), abs=3)


def test_a_limb_that_is_not_there_is_not_drawn() -> None:
    body = person()
    whole = np.isfinite(shape_of(body)[0]).all(axis=(2, 3)).sum(axis=1)
    for name in LIMBS["left arm"]:
        body.validity[2:, BONE[name]] = 0
    body.rotations[body.validity <= 0] = np.nan
    ends, radii = shape_of(body)
    drawn = np.isfinite(ends).all(axis=(2, 3)).sum(axis=1)
    assert (drawn[:2] == whole[0]).all() and (drawn[2:] == whole[0] - 6).all()
    assert lost_limbs(body.validity)[2].sum() == 3 and not lost_limbs(body.validity)[0].any()
    nobody = Body(HUMANOID, body.root, body.rotations, 0 * body.validity)
    assert np.isfinite(shape_of(nobody)[0]).all(axis=(2, 3)).sum() > 0  # a trunk at least
    shown = draw(np.full((3, 2, 3), np.nan), np.ones((3, 2)), View(20, 20, 10, (0, 0, 0)), 0)
    assert shown.shape == (20, 20, 3) and shown.max() <= max(LIT.floor) + 1


def test_the_same_pose_is_the_same_picture() -> None:
    first = picture(person(), 3, (90, 120))
    assert first == picture(person(), 3, (90, 120))
    assert pixels(first).shape == (120, 90, 3)
    with pytest.raises(BadInput, match="tick 6 is not in 0 to 5"):
        picture(person(), 6)


@pytest.mark.parametrize("ending", ["webp", "gif", "png"])
def test_a_clip_moves_in_real_time_with_a_label_on_each_side(ending: str) -> None:
    body = person(12)
    clip = side_by_side([ClipPanel(body, "truth"), ClipPanel(body, "model")], (80, 100), ending)
    with Image.open(io.BytesIO(clip)) as image:
        assert image.size == (160, 130) and 2 <= getattr(image, "n_frames", 1) <= 6
    shown = pixels(still_of(clip))
    assert (shown[:30, :80].max(), shown[:30, 80:].max()) > (150, 150)  # both labels
    assert np.abs(shown[30:, :80] - shown[30:, 80:]).mean() < 6
    if ending == "gif":
        total = 0
        with Image.open(io.BytesIO(clip)) as image:
            for n in range(image.n_frames):  # type: ignore[attr-defined]
                image.seek(n)
                total += image.info["duration"]
        assert total == 400


def test_what_was_lost_is_marked_on_the_models_side_only() -> None:
    body, given = person(2), person(2).validity
    given[:, [BONE[name] for name in LIMBS["right arm"]]] = 0
    shown = pixels(still_of(clip_of(body, body, given)))
    amber = (shown[..., 0] - shown[..., 2] > 60).sum(axis=0)
    assert amber[:260].sum() == 0 and amber[260:].sum() > 100


def test_what_is_no_clip_is_refused() -> None:
    with pytest.raises(BadInput, match="webp, gif, png, not 'mp4'"):
        side_by_side([ClipPanel(person(), "a")], ending="mp4")
    for panels in (
        [],
        [ClipPanel(person(2), "a"), ClipPanel(person(3), "b")],
        [ClipPanel(person(0), "a")],
    ):
        with pytest.raises(BadInput, match="of one length"):
            side_by_side(panels)


def test_a_clip_as_a_gif_lasts_as_long() -> None:
    frames = [Image.new("RGB", (8, 6), (n * 20, 0, 0)) for n in range(6)]
    held = io.BytesIO()
    frames[0].save(held, "WEBP", save_all=True, append_images=frames[1:], duration=100)
    gif, size = as_gif(held.getvalue())
    with Image.open(io.BytesIO(gif)) as image:
        assert (image.format, getattr(image, "n_frames", 1), image.size) == ("GIF", 6, (8, 6))
        assert size == (8, 6) and image.info["duration"] == 100
