from __future__ import annotations

import json

import numpy as np

from greenroom.frames import BONES, HUMANOID
from tests.stage.page_tools import node, run_node
from tests.stage.synthetic_show import pose


def test_the_page_places_bones_as_the_vocabulary_does() -> None:
    root, rotations = pose(37)
    skeleton = {
        "names": list(BONES),
        "parents": list(HUMANOID.parents),
        "offsets": HUMANOID.offsets.tolist(),
    }
    sent = {"skeleton": skeleton, "root": root.tolist(), "rotations": rotations.ravel().tolist()}
    drawn = node("pose.mjs", stdin=json.dumps(sent))
    placed, turned = HUMANOID.world(HUMANOID.rest_translations(1, root), rotations[None])
    np.testing.assert_allclose(np.reshape(drawn["positions"], (-1, 3)), placed[0], atol=1e-5)
    np.testing.assert_allclose(np.reshape(drawn["rotations"], (-1, 4)), turned[0], atol=1e-5)


def test_the_page_checks_its_messages_and_keeps_its_history() -> None:
    assert "# fail 0" in run_node("--test", "--test-reporter=tap", "test/page.test.mjs")
