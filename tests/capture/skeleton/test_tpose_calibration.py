"""What a T-pose says of a sender: rest, facing, floor, size; and what is refused."""

import numpy as np
import pytest

from greenroom.capture.body_calibration import BodyCalibration, PoseCorrection
from greenroom.capture.receivers.datagrams import ReceiverCounts
from greenroom.capture.receivers.vmc import VmcDecoder
from greenroom.capture.skeleton.tpose_calibration import TPoseFit, TPoseSamples, fit_tpose
from greenroom.errors import BadInput
from greenroom.frames import BONE, HUMANOID
from greenroom.rotations import angle_between, from_euler, from_vector, multiply
from tests.capture.receivers.raw_sender import RawSender, bent
from tests.capture.receivers.senders import decoded


def listen(sender: RawSender, count: int = 30, shake: float = 0.0) -> TPoseSamples:
    """What a decoder hears of a sender that stands."""
    rng = np.random.default_rng(0)
    decoder, samples = VmcDecoder(ReceiverCounts()), []
    pose, root = sender.rotations, sender.root
    for k in range(count):
        if shake:
            turn = from_vector(rng.normal(0, shake, (55, 3)))
            sender.rotations, sender.root = (
                multiply(pose, turn),
                root + rng.normal(0, shake / 10, 3),
            )
        for data in sender.datagrams(k / 30):
            decoder.feed(data, k)
        samples.append(decoded(decoder, k))
    sender.rotations, sender.root = pose, root
    return TPoseSamples(
        np.stack([s.root for s in samples]).astype(np.float64),  # type: ignore[misc]
        np.stack([s.rotations for s in samples]).astype(np.float64),  # type: ignore[misc]
        np.stack([s.validity for s in samples]).astype(np.float64),  # type: ignore[misc]
        decoder.offsets(),
    )


def correction(fit: TPoseFit) -> PoseCorrection:
    rest = {name: tuple(turn.tolist()) for name, turn in fit.rest.items()}
    return PoseCorrection(
        BodyCalibration(
            actor="a",
            url="vmc:",
            made_utc_ns=0,
            facing_deg=fit.facing_deg,
            floor_m=fit.floor_m,
            hip_ratio=fit.hip_ratio,
            rest=rest,  # type: ignore[arg-type]
        )
    )


@pytest.mark.parametrize("facing", [0.0, 130.0, -90.0, 180.0])
@pytest.mark.parametrize("size", [0.7, 1.2])
def test_a_pose_comes_back_within_a_degree_and_two_centimetres(facing: float, size: float) -> None:
    sender = RawSender(1, size, facing, floor_m=0.4)
    fit = fit_tpose(listen(sender, shake=0.01), HUMANOID)
    off = (fit.facing_deg - facing + 180) % 360 - 180
    assert abs(off) < 0.5 and fit.floor_m == pytest.approx(0.4, abs=0.01)
    assert fit.hip_ratio == pytest.approx(1 / sender.ratio, rel=0.01)
    sender.rotations, sender.root = bent(3), np.asarray([0.8, 0.7, -1.1])
    now = listen(sender, count=1)
    corrected = correction(fit)
    turns = corrected.rotations(now.rotations[0])
    assert angle_between(turns, bent(3)).max() < 1
    assert np.abs(corrected.root(now.roots[0]) - sender.root).max() < 0.02


def test_a_bone_that_was_not_seen_rests_as_its_parent() -> None:
    sender = RawSender(2)
    sender.axes[:] = sender.axes[0]  # every bone the same
    fit = fit_tpose(listen(sender), HUMANOID)
    del fit.rest["leftIndexProximal"]
    sender.rotations = bent(5)
    turns = correction(fit).rotations(listen(sender, count=1).rotations[0])
    assert angle_between(turns, bent(5)).max() < 0.1


def refuse(sender: RawSender, match: str, shake: float = 0.0) -> None:
    with pytest.raises(BadInput, match=match):
        fit_tpose(listen(sender, shake=shake), HUMANOID)


def test_what_is_no_t_pose_is_refused_in_one_sentence() -> None:
    sender = RawSender(0, facing_deg=20.0)
    hanging = sender.still.copy()
    hanging[BONE["leftUpperArm"]] = from_euler(np.asarray([-75.0]), "Z")
    sender.rotations = hanging
    refuse(sender, "no T-pose: the left arm is 75° from it")
    lying = sender.still.copy()
    lying[0] = from_euler(np.asarray([-90.0]), "X")
    sender.rotations = lying
    refuse(sender, "nobody stands upright")
    sitting = sender.still.copy()
    sitting[BONE["rightUpperLeg"]] = from_euler(np.asarray([-80.0]), "X")
    sender.rotations = sitting
    refuse(sender, "right leg is")


def test_a_person_who_moves_is_refused() -> None:
    refuse(RawSender(0), "the person moved", shake=0.15)


def test_a_body_without_hands_or_one_that_is_a_point_is_refused() -> None:
    samples = listen(RawSender(0))
    samples.validity[:, BONE["leftHand"]] = 0
    with pytest.raises(BadInput, match="no leftHand"):
        fit_tpose(samples, HUMANOID)
    samples = listen(RawSender(0))
    with pytest.raises(BadInput, match="absurd|feet|one place"):
        small = TPoseSamples(
            samples.roots, samples.rotations, samples.validity, samples.offsets * 0.01
        )
        fit_tpose(small, HUMANOID)


def test_a_sender_without_places_is_taken_to_be_built_as_ours() -> None:
    sender = RawSender(0, size=1.0, facing_deg=0.0)
    sender.axes[:] = [0, 0, 0, 1]
    sender.ratio = 1.0
    samples = listen(sender)
    nowhere = TPoseSamples(
        samples.roots, samples.rotations, samples.validity, samples.offsets * np.nan
    )
    fit = fit_tpose(nowhere, HUMANOID)
    assert fit.hip_ratio == pytest.approx(1, abs=1e-3)
    assert fit.floor_m == pytest.approx(0.4, abs=0.01)
