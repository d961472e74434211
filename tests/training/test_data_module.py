"""What is taught of few takes: each style by its own takes, however few there are."""

from collections.abc import Callable

import numpy as np
import pytest

from greenroom.capture.readers import read_recording
from greenroom.datasets.build import pose_states
from greenroom.features.pipeline import FeatureSpec
from greenroom.frames import BONES, Body

pytestmark = pytest.mark.train


def _body(data: bytes) -> Body:
    body = read_recording(data, "a.bvh").body
    assert body is not None
    return body


@pytest.mark.parametrize("count", [2, 3, 4])
def test_a_style_is_taught_by_its_own_takes(count: int, person: Callable[..., bytes]) -> None:
    from greenroom.networks.presets import preset_of
    from greenroom.training.data_module import SplitData, make_training_data

    bodies = [_body(person(frames=60, seed=n)) for n in range(count)]
    joints = tuple(b for b, v in zip(BONES, bodies[0].validity[0], strict=True) if v > 0)
    spec = FeatureSpec(joints)
    style = ["calm", "wild", "wild", "calm"][:count]
    found = SplitData(bodies, style, [""] * count, [1.0] * count, [], (), [{}] * count, [])
    said = make_training_data(found, spec, preset_of("mini"), 0).styles
    assert [kind for _, kind, _ in said] == [("calm", "wild").index(s) for s in style * 2]
    for (rows, _, _), body in zip(said, bodies, strict=False):  # mirror images come after them
        np.testing.assert_array_equal(rows.numpy(), pose_states(spec, body))
