import dataclasses

import numpy as np

from greenroom.capture.formats.bvh import read_bvh
from greenroom.capture.quality import check_audio, check_body
from greenroom.capture.skeleton.retarget import to_body
from greenroom.frames import BONE


def found(findings):
    return {finding.check: finding for finding in findings}


def test_a_good_take_passes(person):
    assert all(f.ok for f in check_body(to_body(read_bvh(person(amplitude=5.0), where="p"))))


def test_faults_are_seen(person):
    body = to_body(read_bvh(person(frames=90, amplitude=5.0), where="p"))
    turns, validity = body.rotations.copy(), body.validity.copy()
    turns[40, BONE["head"]] = [0, 1, 0, 0]
    assert found(check_body(dataclasses.replace(body, rotations=turns)))["jumps"].value == 2
    validity[:45, 1:22] = 0
    assert not found(check_body(dataclasses.replace(body, validity=validity)))["missing"].ok
    still = dataclasses.replace(body, root=body.root[[5] * 90], rotations=body.rotations[[5] * 90])
    assert not found(check_body(still))["frozen"].ok
    low = dataclasses.replace(body, root=body.root - np.float32([0, 0.3, 0]))
    assert not found(check_body(low))["floor"].ok


def test_one_tick_can_be_checked(person):
    assert check_body(to_body(read_bvh(person(frames=1, amplitude=1.0), where="p")))


def test_sound_that_clips_or_is_silent_is_seen():
    assert not found(check_audio(np.ones(2400, dtype=np.float32)))["clipping"].ok
    assert not found(check_audio(np.zeros(2400, dtype=np.float32)))["silence"].ok
    assert found(check_audio(np.zeros(10, dtype=np.float32)))["silence"].value == 0.0
