"""A reservoir keeps each class evenly, goes on after a save, and forgets what may not be used."""

import datetime
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from greenroom.adaptation.replay_reservoir import (
    BEFORE,
    LENGTH,
    Reservoir,
    build_reservoir,
    take_moments,
)
from greenroom.capture.ingest import store_take
from greenroom.capture.readers import read_recording
from greenroom.consent.records import read_rights
from greenroom.datasets.build import pose_states
from greenroom.errors import BadInput, Refused
from greenroom.features.pipeline import FeatureSpec
from greenroom.manifests import ReplayReservoir
from greenroom.store.attribution import Attribution
from greenroom.store.workspace import Workspace
from tests import examples
from tests.simulation import fakes

DAY = datetime.date(2026, 1, 1)


def test_every_moment_of_a_class_is_kept_as_often() -> None:
    kept = np.zeros(60)
    for seed in range(400):
        reservoir = Reservoir(seed, size=15)
        for tick in range(60):
            reservoir.offer("calm", "a", tick)
        for _, tick in reservoir.samples["calm"]:
            kept[tick] += 1
    assert kept.sum() == 400 * 15
    # Each is binomial(400, 1/4), with a standard deviation of 8.7.
    assert np.abs(kept - 100).max() < 4.5 * 8.7 and abs(kept[:30].mean() - kept[30:].mean()) < 6


def test_a_rare_class_stays_beside_a_frequent_one() -> None:
    reservoir = Reservoir(size=20)
    for tick in range(1000):
        reservoir.offer("calm", "a", tick)
        if tick % 100 == 0:
            reservoir.offer("angry", "b", tick)
    assert len(reservoir.samples["calm"]) == 20 and len(reservoir.samples["angry"]) == 10


@pytest.fixture
def takes(tmp_path: Path, person: Callable[..., bytes]) -> tuple[Workspace, list[str]]:
    workspace = Workspace(tmp_path / "home")
    out = []
    for n, style in enumerate(("calm", "calm", "angry")):
        who = Attribution("mira", ("p",), (read_rights("MIT", "p"),))
        recording = read_recording(person(frames=120, seed=n), f"t_{n}.bvh")
        out.append(store_take(workspace, recording, who, "test", tiers={"style": style}))
    return workspace, out


def _spec(workspace: Workspace, take: str) -> FeatureSpec:
    from greenroom.capture.ingest import load_take
    from greenroom.frames import BONES

    body = load_take(workspace, take).body
    assert body is not None
    there = (body.validity > 0).all(axis=0)
    return FeatureSpec(tuple(bone for bone, seen in zip(BONES, there, strict=True) if seen))


def test_saved_and_loaded_it_goes_on_as_if_it_had_not_been(
    takes: tuple[Workspace, list[str]],
) -> None:
    workspace, names = takes
    whole, part = Reservoir(3, size=4), Reservoir(3, size=4)
    for take in names:
        whole.offer_take(workspace, take, DAY)
    part.offer_take(workspace, names[0], DAY)
    part = Reservoir.load(workspace, part.save(workspace, "mira", "test"))
    for take in names[1:]:
        part.offer_take(workspace, take, DAY)
    assert part == whole
    saved = whole.save(workspace, "mira", "test")
    assert saved == part.save(workspace, "mira", "test")
    kept = {take for own in whole.samples.values() for take, _ in own}
    assert set(workspace.objects.read(saved, ReplayReservoir).parents.takes) == kept
    assert workspace.fsck().bad == []


def test_moments_are_read_from_their_takes(takes: tuple[Workspace, list[str]]) -> None:
    from greenroom.capture.ingest import load_take

    workspace, names = takes
    spec, reservoir = _spec(workspace, names[0]), Reservoir()
    for take in names:
        reservoir.offer_take(workspace, take, DAY)
    found = reservoir.moments(workspace, spec, DAY)
    assert len(found) == sum(len(own) for own in reservoir.samples.values())
    assert found.states.shape == (len(found), LENGTH, spec.state_width)
    body = load_take(workspace, names[2]).body
    assert body is not None
    states = pose_states(spec, body)
    angry = found.only([style == "angry" for style in found.styles])
    assert set(angry.takes) == {names[2]}
    ticks = sorted(tick for _, tick in reservoir.samples["angry"])
    for moment, tick in zip(angry.states, ticks, strict=True):
        assert np.array_equal(moment, states[tick : tick + LENGTH])
    whole = take_moments(workspace, spec, names[2], 5)
    assert np.array_equal(whole.states[0, :BEFORE], np.repeat(states[:1], BEFORE, axis=0))


def test_only_takes_whose_rights_cover_training(
    tmp_path: Path, person: Callable[..., bytes]
) -> None:
    workspace = Workspace(tmp_path / "home")
    recording = read_recording(person(frames=120), "t.bvh")
    nobody = store_take(workspace, recording, Attribution("mira"), "test")
    with pytest.raises(Refused, match="quarantined"):
        Reservoir().offer_take(workspace, nobody, DAY)
    kept = Reservoir()
    kept.offer("calm", nobody, 0)  # its rights were withdrawn since
    with pytest.raises(BadInput, match="nothing that may be used"):
        kept.moments(workspace, _spec(workspace, nobody), DAY)


def test_of_a_dataset_what_may_not_be_used_any_more_is_left_out(
    tmp_path: Path, person: Callable[..., bytes]
) -> None:
    workspace, takes = Workspace(tmp_path / "home"), list[str]()
    for n, expiry in enumerate(("2026-06-30", "2025-12-31")):
        agreed = fakes.rights("2020-01-01", expiry)
        recording = read_recording(person(frames=120, seed=n), f"t_{n}.bvh")
        takes.append(
            store_take(workspace, recording, Attribution("mira", ("somebody",), (agreed,)), "test")
        )
    dataset = workspace.publish(examples.dataset(takes), by="test")
    for day, there in ((datetime.date(2025, 12, 31), takes), (DAY, takes[:1])):
        kept = build_reservoir(workspace, dataset, day).samples[""]
        assert {take for take, _ in kept} == set(there)
