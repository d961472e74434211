"""What the embedded model makes of lost limbs, as bodies and as a clip."""

import numpy as np
import pytest

from greenroom import embedded
from greenroom.capture.published import Clip
from greenroom.capture.readers import read_recording
from greenroom.datasets.gaps import filled
from greenroom.live.backends import OnnxBackend
from greenroom.registry.promote import on_stage
from greenroom.registry.release import Release, load_release
from greenroom.rotations import angle_between
from greenroom.store.workspace import Workspace
from greenroom.validation.clip import clip_for
from greenroom.validation.subject import Subject


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("home"))
    embedded.install(workspace)
    return workspace


@pytest.fixture(scope="module")
def release(home: Workspace) -> Release:
    return load_release(home, on_stage(home, "mira"))


def test_only_what_was_lost_is_made_up(release: Release, published: list[Clip]) -> None:
    backend = OnnxBackend(release.graph, release.role.shape)
    subject = Subject.of(release.model, backend)
    clip = next(c for c in published if c.name == "humanoid3d_dance_b")
    body = read_recording(clip.data, clip.path).body
    assert body is not None
    spec, history = subject.spec, subject.shape.history
    found = filled(subject.perform, spec, history, body)
    assert found is not None
    truth, performed, given = found
    lost = (given == 0) & (truth.validity > 0)
    assert given[:, 0].all() and given[:15].all()  # hips and the first half second
    assert len(truth) == len(performed) == len(given) and lost.any() and not lost[:15].any()
    apart = angle_between(truth.filled(), performed.filled())
    assert np.array_equal(truth.filled()[~lost], performed.filled()[~lost])
    assert 1 < apart[lost].mean() < 60
    assert np.isfinite(performed.rotations[truth.validity > 0]).all()
    short = type(body)(body.skeleton, body.root[:30], body.rotations[:30], body.validity[:30])
    assert filled(subject.perform, spec, history, short) is None


def test_a_take_that_may_not_leave_is_not_shown(
    home: Workspace, release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedded.ingest_clips(home, "test")
    model = release.manifest["parents"]["model"]
    backend = OnnxBackend(release.graph, release.role.shape)
    asked = []

    def refuse(take: dict[str, object], purpose: str, day: object) -> str:
        asked.append(purpose)
        return "no"

    monkeypatch.setattr("greenroom.validation.clip.refusal", refuse)
    assert clip_for(home, model, backend) is None and set(asked) == {"export"}
