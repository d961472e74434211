"""Every rung of the ladder, and that the same packets and decisions give the same bits."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenroom.capture.packets import decode, encode_body
from greenroom.contracts import Packet, flat_width, get_tensors
from greenroom.errors import ModelUnavailable
from greenroom.features.conditioning import Vocabulary
from greenroom.features.noise import NoiseWalk
from greenroom.frames import ARKIT, BONES, Floats
from greenroom.live.control import HELD
from greenroom.live.loaded_model import LoadedModel
from greenroom.live.performer import SILENT_TICKS, Performer, TickResult
from greenroom.rotations import angle_between
from tests.live.stand_in import (
    FACE_SHAPE,
    JOINTS,
    OWN,
    SHAPE,
    TOLD_SHAPE,
    WALKER_SHAPE,
    WORDS,
    FakeModel,
    body_packet,
    listener,
    role,
    sound_packet,
    speaker,
    walker,
)

INDEX = [BONES.index(name) for name in JOINTS]


def play(
    performer: Performer, ticks: range, sound: bool = True, lost: tuple[str, ...] | None = ()
) -> list[TickResult]:
    """Perform ticks; `lost` None is no capture at all."""
    out = []
    for tick in ticks:
        packets = [] if lost is None else [Packet(0, body_packet(tick, lost))]
        packets += [Packet(0, sound_packet(tick))] if sound else []
        out.append(performer.step(tick, packets, late=False))
    return out


def steepest(outcomes: list[TickResult]) -> float:
    """The fastest joint, degrees a tick."""
    turns = np.stack([o.frame.rotations for o in outcomes])
    return float(angle_between(turns[1:], turns[:-1]).max())


def test_what_is_fully_trusted_comes_as_captured_to_the_bit() -> None:
    for tick, outcome in enumerate(play(Performer(role(), FakeModel(), 0), range(20))):
        sample = decode(body_packet(tick))
        assert outcome.rung == "capture" and outcome.reason == ""
        assert not isinstance(sample, np.ndarray)
        np.testing.assert_array_equal(outcome.frame.rotations[INDEX], sample.rotations[INDEX])
        np.testing.assert_array_equal(outcome.frame.root, sample.root)


def test_a_missing_joint_is_the_models_and_the_others_stay_as_captured() -> None:
    performer = Performer(role(), FakeModel(), 0)
    play(performer, range(10))
    arm = BONES.index("leftUpperArm")
    before = play(performer, range(10, 11))[0].frame.rotations[arm]
    for tick in range(11, 20):
        [outcome] = play(performer, range(tick, tick + 1), lost=("leftUpperArm",))
        assert outcome.rung == "capture"
        assert angle_between(outcome.frame.rotations[arm], before) < 0.1  # the stand-in holds
        age = get_tensors(outcome.inputs, SHAPE.inputs())["age"][0]
        np.testing.assert_allclose(age, [0, 0, np.log1p(tick - 10) / 6, 0], rtol=1e-6)


def sources(outcomes: list[TickResult]) -> list[str]:
    return [outcome.rung for outcome in outcomes]


def test_capture_lost_becomes_an_idle_that_the_voice_moves() -> None:
    performer = Performer(role(), FakeModel(confidence=0.2), 0)
    play(performer, range(10))
    spoken = play(performer, range(10, 20), lost=None)
    assert set(sources(spoken)) == {"speech"} and spoken[0].reason == "capture lost"
    silent = play(performer, range(20, 60), sound=False, lost=None)
    assert sources(silent) == ["speech"] * SILENT_TICKS + ["idle"] * (40 - SILENT_TICKS)
    assert silent[-1].reason == "capture and voice lost"
    assert performer.motion == "idle"


def test_a_model_that_is_sure_carries_on_until_it_is_not() -> None:
    model = FakeModel(confidence=0.9)
    performer = Performer(role(), model, 0)
    play(performer, range(10), sound=False)
    assert set(sources(play(performer, range(10, 14), sound=False, lost=None))) == {"free"}
    model.confidence = 0.3
    assert set(sources(play(performer, range(14, 20), sound=False, lost=None))) == {"idle"}
    model.confidence = 0.9  # who stands at ease goes on standing
    assert set(sources(play(performer, range(20, 30), sound=False, lost=None))) == {"idle"}
    assert sources(play(performer, range(30, 31))) == ["capture"]


def test_what_happens_when_capture_is_lost_can_be_chosen() -> None:
    for lost, wanted in (("free", "free"), ("hold", "hold"), ("idle", "idle")):
        performer = Performer(role(), FakeModel(confidence=0.1), 0, lost=lost)
        play(performer, range(10), sound=False)
        assert set(sources(play(performer, range(10, 200), sound=False, lost=None))) == {wanted}


def test_before_anybody_is_captured_the_performer_stands_at_ease() -> None:
    performer = Performer(walker(), FakeModel(shape=WALKER_SHAPE, confidence=0.9), 0)
    out = play(performer, range(60), sound=False, lost=None)
    assert set(sources(out)) == {"idle"}
    roots = np.stack([outcome.frame.root for outcome in out])
    assert np.abs(roots[:, [0, 2]]).max() < 0.06 and 0.85 < roots[:, 1].min()


def test_no_change_of_source_is_a_jump_and_the_idle_keeps_off_the_floor() -> None:
    performer = Performer(walker(), FakeModel(shape=WALKER_SHAPE, confidence=0.1), 0)
    moving = steepest(play(performer, range(30)))
    start = play(performer, range(30, 31))
    idle = play(performer, range(31, 400), sound=False, lost=None)
    back = play(performer, range(400, 460))
    assert moving < 3 and steepest(start + idle) < 12
    assert steepest(idle[-1:] + back) < 13  # TURN_SPEED, a little more for what moves itself
    body = performer.body
    for outcome in idle:
        turns = [tuple(q) for q in outcome.frame.rotations.tolist()]
        assert body.place(tuple(outcome.frame.root.tolist()), turns).lowest > -0.001
    roots = np.stack([o.frame.root for o in [*idle[-1:], *back]])
    assert 30 * np.linalg.norm(np.diff(roots, axis=0), axis=1).max() < 1.5


def test_the_model_is_told_what_was_performed_in_its_place() -> None:
    performer = Performer(walker(), FakeModel(shape=WALKER_SHAPE, confidence=0.1), 0)
    play(performer, range(10), sound=False)
    out = play(performer, range(10, 60), sound=False, lost=None)
    state = performer.state
    rotations = out[-1].frame.rotations[performer.index]
    turned = performer.placer.upright(state, WALKER_SHAPE.joints)
    assert angle_between(turned, rotations).max() < 0.1
    assert state[-4] == pytest.approx(float(out[-1].frame.root[1]), abs=1e-6)


def test_hold_returns_to_rest_and_no_switch_is_a_jump() -> None:
    performer = Performer(role(), FakeModel(), 0, lost="hold")
    moving = steepest(play(performer, range(30)))
    start = play(performer, range(30, 31))
    held = play(performer, range(31, 400), sound=False, lost=None)
    back = play(performer, range(400, 430))
    assert steepest(start + held) < moving * 1.5
    rest = performer.blender.rest
    assert angle_between(held[-1].frame.rotations[INDEX[1:]], rest[INDEX[1:]]).max() < 1
    assert steepest(held[-1:] + back) < 8  # eased: the way back is 20 degrees


def test_who_stands_at_ease_goes_on_standing_after_a_late_tick_and_a_take_over() -> None:
    performer = Performer(walker(), FakeModel(shape=WALKER_SHAPE, confidence=0.3), 0)
    play(performer, range(10), sound=False)
    idle = play(performer, range(10, 40), sound=False, lost=None)
    performer.part.backend.confidence = 0.9  # type: ignore[attr-defined]
    performer.step(40, [], late=True)
    assert set(sources(play(performer, range(41, 60), sound=False, lost=None))) == {"idle"}
    performer.resume([outcome.frame for outcome in idle[-2:]])
    assert set(sources(play(performer, range(60, 80), sound=False, lost=None))) == {"idle"}


def test_a_bone_that_drops_out_or_returns_does_not_jump() -> None:
    """A finger that the model does not drive, bent by 1.2 radians, lost for ten ticks."""
    finger = BONES.index("leftIndexProximal")
    performer, turns = Performer(role(), FakeModel(), 0), []
    bent = np.asarray([0, 0, np.sin(0.6), np.cos(0.6)], np.float32)
    for tick in range(60):
        body = np.frombuffer(body_packet(0), "<f4", offset=8).copy()
        rotations, validity = body[3:223].reshape(55, 4), body[223:]
        rotations[finger], validity[finger] = bent, float(not 20 <= tick < 30)
        data = encode_body(tick, body[:3], rotations, validity, 0)
        turns.append(performer.step(tick, [Packet(0, data)], late=False).frame.rotations)
    moved = angle_between(np.stack(turns)[1:, finger], np.stack(turns)[:-1, finger])
    assert 2 < moved.max() < 12
    np.testing.assert_allclose(turns[-1][finger], bent, atol=1e-3)


def test_a_hold_sinks_nobody_into_the_floor_and_slides_nobody_away() -> None:
    performer = Performer(walker(), FakeModel(shape=WALKER_SHAPE), 0)
    for tick in range(20):
        body = np.frombuffer(body_packet(tick), "<f4", offset=8).copy()
        root = np.asarray([1.3 * tick / 30, 0.5, 0], np.float32)
        data = encode_body(tick, root, body[3:223].reshape(55, 4), body[223:], 0)
        last = performer.step(tick, [Packet(0, data)], late=False).frame
    held = [performer.step(tick, [], late=False, control=HELD).frame for tick in range(20, 320)]
    lows = [
        performer.body.place(
            tuple(frame.root.tolist()), [tuple(q) for q in frame.rotations.tolist()]
        ).lowest
        for frame in held
    ]
    assert min(lows[30:]) > -0.001
    assert np.linalg.norm((held[-1].root - last.root)[[0, 2]]) < 0.4


def test_a_face_is_eased_where_another_engine_takes_over() -> None:
    performer = Performer(speaker(), FakeModel(shape=FACE_SHAPE), 0)
    before = play(performer, range(40))
    other = Performer(speaker(), FakeModel(shape=FACE_SHAPE), 0)
    play(other, range(40))
    closed = [replace(outcome.frame, face=outcome.frame.face * 0) for outcome in before[-2:]]
    other.resume(closed)
    jaw = ARKIT.index("jawOpen")
    first, *_, last = play(other, range(40, 60))
    assert first.frame.face[jaw] < 0.15 < last.frame.face[jaw]


def test_an_output_that_is_not_finite_is_held_and_never_emitted() -> None:
    performer = Performer(role(), FakeModel(broken=frozenset(range(10, 14))), 0)
    outcomes = play(performer, range(20))
    assert [o.rung for o in outcomes] == ["capture"] * 10 + ["hold"] * 4 + ["capture"] * 6
    assert outcomes[10].reason == "the model's output is not finite"
    for outcome in outcomes:
        assert np.isfinite(outcome.frame.rotations).all() and np.isfinite(outcome.frame.root).all()
        assert np.isfinite(outcome.inputs).all()


def test_a_late_tick_does_not_ask_the_model_and_holds() -> None:
    model = FakeModel()
    performer = Performer(role(), model, 0)
    play(performer, range(5))
    outcome = performer.step(5, [Packet(0, body_packet(5))], late=True)
    assert (outcome.rung, outcome.reason, outcome.outputs) == ("hold", "late", None)
    assert model.asked == 5
    assert play(performer, range(6, 7))[0].rung == "capture"


@pytest.mark.parametrize("data", [b"", b"GR", b"hello", body_packet(0)[:-1], b"\xff" * 900])
def test_a_damaged_packet_is_passed_over(data: bytes) -> None:
    performer = Performer(role(), FakeModel(), 0)
    outcome = performer.step(0, [Packet(0, data), Packet(0, body_packet(0))], late=False)
    assert outcome.rung == "capture"


def test_a_foot_holds_a_body_that_nobody_captures_and_a_hold_forgets_it() -> None:
    performer = Performer(walker(), FakeModel(shape=WALKER_SHAPE), 0, lost="free")
    play(performer, range(5))
    performer.state = performer.state.copy()
    performer.state[-2] = 1.0  # forwards, metres a second, which the stand-in goes on with
    first = play(performer, range(5, 6), lost=None)[0].frame.root
    later = play(performer, range(6, 66), lost=None)[-1].frame.root
    assert np.linalg.norm(later - first) < 0.3  # two seconds would have gone two metres
    assert performer.placer._feet is not None
    performer.step(66, [], late=True)
    assert performer.placer._feet is None
    assert np.isfinite(play(performer, range(67, 70), lost=None)[-1].frame.root).all()


FLOATS = st.floats(width=32, allow_nan=True, allow_infinity=True)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 1099), FLOATS), max_size=30),
    st.integers(0, 2**32 - 1),
    st.booleans(),
)
def test_whatever_numbers_a_packet_holds_what_is_emitted_is_finite_and_unit(
    spoilt: list[tuple[int, float]], seed: int, legs: bool
) -> None:
    rng = np.random.default_rng(seed)
    performer = Performer(role(), FakeModel(), 0)
    if legs:
        performer = Performer(walker(), FakeModel(shape=WALKER_SHAPE), 0)
    for tick in range(4):
        body = np.frombuffer(body_packet(tick), "<f4", offset=8).copy()
        if tick:
            for at, value in spoilt:
                body[at % len(body)] = value
            body[rng.integers(0, len(body), 5)] = rng.choice([np.nan, np.inf, -np.inf, 1e38, 0], 5)
        data = encode_body(tick, body[:3], body[3:223], body[223:], 0)
        outcome = performer.step(tick, [Packet(0, data)], late=False)
        assert np.isfinite(outcome.frame.root).all()
        norms = np.linalg.norm(outcome.frame.rotations, axis=1)
        np.testing.assert_allclose(norms, 1, atol=0.01)
        assert np.isfinite(outcome.inputs).all()


def test_each_tick_has_the_draw_of_its_number_whether_it_needs_it_or_not() -> None:
    performer = Performer(role(), FakeModel(), 9)
    alone = NoiseWalk(9, SHAPE.noise)
    for tick in range(200):
        draw = alone.next()
        lost = tick % 3 == 0
        [outcome] = play(performer, range(tick, tick + 1), lost=None if lost else ())
        noise = get_tensors(outcome.inputs, SHAPE.inputs())["noise"][0]
        np.testing.assert_array_equal(noise, draw if lost else 0 * draw)


def test_the_same_packets_give_the_same_bits() -> None:
    def run() -> list[bytes]:
        performer = Performer(role(uses_speech=True), FakeModel(broken=frozenset([7])), 5)
        out = []
        for tick in range(60):
            lost = () if tick < 20 else None
            [outcome] = play(performer, range(tick, tick + 1), lost=lost)
            out.append(outcome.inputs.tobytes() + outcome.frame.rotations.tobytes())
        return out

    assert run() == run()


def test_a_face_is_driven_by_a_voice_and_nothing_makes_it_pop() -> None:
    performer = Performer(speaker(), FakeModel(shape=FACE_SHAPE), 0)
    out = play(performer, range(10), sound=False)
    out += play(performer, range(10, 60))
    packets = [Packet(0, body_packet(60)), Packet(0, sound_packet(60))]
    out.append(performer.step(60, packets, late=True))
    out += play(performer, range(61, 90)) + play(performer, range(90, 150), sound=False)
    faces = np.stack([outcome.frame.face for outcome in out])
    driven = [ARKIT.index("jawOpen"), ARKIT.index("mouthFunnel")]
    assert np.isnan(np.delete(faces, driven, axis=1)).all()
    moved = faces[:, driven]
    assert (moved[:10] == 0).all() and (moved[50:60] > 0.45).all() and (moved[-20:] < 0.02).all()
    assert np.abs(np.diff(moved, axis=0)).max() < 0.15  # of the half that it opens
    assert moved[60].min() > 0.35  # one late frame closes nothing


MAPPED = (
    ("jawOpen", "jawForward", -1.0),
    ("jawOpen", "jawOpen", 0.5),
    ("someThing", "jawOpen", 0.25),
    ("someThing", "mouthPucker", 3.0),
)


def test_a_mapping_says_what_the_channels_drive() -> None:
    mapped = replace(speaker(), arkit=MAPPED)
    out = play(Performer(mapped, FakeModel(shape=FACE_SHAPE), 0), range(60))
    faces = np.stack([outcome.frame.face for outcome in out])
    driven = [ARKIT.index(name) for name in ("jawForward", "jawOpen", "mouthPucker")]
    assert np.isnan(np.delete(faces, driven, axis=1)).all()  # mouthFunnel too: nothing names it
    # The stand-in says a half of every channel.
    np.testing.assert_allclose(faces[-1, driven], [0, 0.375, 1], atol=0.01)
    assert (faces[:, driven] >= 0).all() and (faces[:, driven] <= 1).all()
    again = play(Performer(mapped, FakeModel(shape=FACE_SHAPE), 0), range(60))
    assert np.stack([o.frame.face for o in again]).tobytes() == faces.tobytes()


def test_a_mapping_of_each_to_itself_changes_no_bit() -> None:
    said = np.random.default_rng(0).normal(size=4000).astype(np.float32)
    plain = LoadedModel(speaker(), FakeModel(shape=FACE_SHAPE))
    twice = (*OWN, ("someThing", "jawLeft", 0.5))
    mixed = LoadedModel(replace(speaker(), arkit=twice), FakeModel(shape=FACE_SHAPE))
    ours, theirs = plain.face(said), mixed.face(said)
    own = [list(mixed.places).index(place) for place in plain.places]
    np.testing.assert_array_equal(np.clip(ours, 0, 1), theirs[own])
    first = flat_width({k: v for k, v in FACE_SHAPE.outputs().items() if k != "face"})
    np.testing.assert_array_equal(sorted(ours), sorted(said[[first, first + 2]]))


def test_a_release_of_another_mapping_does_not_stand_in() -> None:
    model = FakeModel(shape=FACE_SHAPE)
    one, other = LoadedModel(speaker(), model), LoadedModel(replace(speaker(), arkit=MAPPED), model)
    assert one.stands_in_for(LoadedModel(speaker(), model)) and not one.stands_in_for(other)


def test_before_the_first_packet_there_was_silence() -> None:
    performer = Performer(speaker(), FakeModel(shape=FACE_SHAPE), 0)
    [outcome] = play(performer, range(1), sound=False)
    speech = get_tensors(outcome.inputs, FACE_SHAPE.inputs())["speech"][0]
    np.testing.assert_array_equal(speech, np.tile(speech[:1], (len(speech), 1)))
    assert speech[0, -3] == -100 and speech[0, 0] < -20


def with_previous(broken: frozenset[int], behind: LoadedModel) -> Performer:
    return Performer(role(), FakeModel(broken), 0, previous=behind)


def test_where_the_model_says_no_number_the_release_before_performs() -> None:
    performer = with_previous(frozenset({10, 11}), LoadedModel(role(), FakeModel()))
    outcomes = play(performer, range(30))
    assert [o.rung for o in outcomes[9:13]] == ["capture", "previous", "previous", "capture"]
    assert outcomes[10].reason == "the model's output is not finite"
    plain = play(Performer(role(), FakeModel(), 0), range(30))
    assert steepest(outcomes) <= steepest(plain) + 1  # nobody sees it
    assert outcomes[10].outputs is not None and not np.isfinite(outcomes[10].outputs).all()


class AwayModel(FakeModel):
    """A model whose server gives no answer at some calls."""

    def __init__(self, away: frozenset[int]) -> None:
        super().__init__()
        self.away, self.calls = away, 0

    def run(self, inputs: dict[str, Floats]) -> dict[str, Floats]:
        self.calls += 1
        if self.calls - 1 in self.away:
            raise ModelUnavailable("away")
        return super().run(inputs)


@pytest.mark.parametrize(("stands_behind", "rung"), [(True, "previous"), (False, "hold")])
def test_where_the_models_server_is_away_it_falls_back_and_a_replay_does_too(
    stands_behind: bool, rung: str
) -> None:
    away = frozenset({10, 11})
    behind = LoadedModel(role(), FakeModel()) if stands_behind else None
    outcomes = play(Performer(role(), AwayModel(away), 0, previous=behind), range(20))
    assert [o.rung for o in outcomes[9:13]] == ["capture", rung, rung, "capture"]
    assert outcomes[10].reason == "the model's server is away" and outcomes[10].outputs is None
    again = Performer(role(), FakeModel(), 0, previous=behind)
    for tick, outcome in enumerate(outcomes):
        packets = [Packet(0, body_packet(tick)), Packet(0, sound_packet(tick))]
        replayed = again.step(tick, packets, late=False, unanswered=outcome.outputs is None)
        assert replayed.rung == outcome.rung
        assert replayed.frame.rotations.tobytes() == outcome.frame.rotations.tobytes()


def test_where_both_say_no_number_it_holds() -> None:
    performer = with_previous(frozenset({10}), LoadedModel(role(), FakeModel(frozenset({0}))))
    assert [o.rung for o in play(performer, range(12))][9:] == ["capture", "hold", "capture"]


def test_a_release_that_takes_other_inputs_cannot_stand_behind() -> None:
    performer = with_previous(frozenset({10}), LoadedModel(walker(), FakeModel(shape=WALKER_SHAPE)))
    assert performer.previous is None
    assert [o.rung for o in play(performer, range(12))][9:] == ["capture", "hold", "capture"]


def test_who_takes_over_in_mid_movement_with_nothing_captured_eases_to_rest() -> None:
    before = play(Performer(role(), FakeModel(), 0), range(40))
    performer = Performer(role(), FakeModel(confidence=0.2), 0)
    play(performer, range(20), sound=False, lost=None)
    performer.resume([outcome.frame for outcome in before[-2:]])
    after = play(performer, range(40, 100), sound=False, lost=None)
    assert {outcome.rung for outcome in after} == {"idle"}
    assert steepest([*before[-2:], *after]) <= 13


TOLD = {"phonemes": [(2, 4, "B"), (4, 5, "?")], "scene": [(0, 3, "walk")], "emotion": "happy"}


def test_what_is_told_of_a_tick_comes_with_it_and_nothing_else() -> None:
    performer = Performer(listener(), FakeModel(shape=TOLD_SHAPE), 0, conditioning=TOLD)
    for tick in range(6):
        flat = play(performer, range(tick, tick + 1))[0].inputs
        given = get_tensors(flat, TOLD_SHAPE.inputs())
        assert given["context"][0].tolist() == [1, float(tick < 3)]
    spoken = given["phonemes"][0]
    assert spoken[:, 0].sum() == 0 and spoken[:, 1].tolist() == [0, 0, 0, 0, 1, 1, 0, 0]
    silent = Performer(listener(), FakeModel(shape=TOLD_SHAPE), 0)
    given = get_tensors(play(silent, range(6))[-1].inputs, TOLD_SHAPE.inputs())
    assert not given["phonemes"].any() and not given["context"].any()


def test_a_model_of_other_words_stands_in_for_nobody() -> None:
    mine, other = listener(), replace(listener(), words=Vocabulary(("B", "A"), WORDS.context))
    parts = [LoadedModel(one, FakeModel(shape=TOLD_SHAPE)) for one in (mine, other, listener())]
    assert parts[2].stands_in_for(parts[0]) and not parts[1].stands_in_for(parts[0])
