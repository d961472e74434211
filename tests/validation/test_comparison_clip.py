"""What the embedded model makes of lost limbs, as bodies and as a clip."""

import numpy as np
import pytest

from greenroom import embedded
from greenroom.capture.readers import read_recording
from greenroom.capture.sample_data import Clip
from greenroom.datasets.gaps import fill_gaps
from greenroom.registry.promote import live_release
from greenroom.registry.release import Release, load_release
from greenroom.rotations import angle_between
from greenroom.serving.onnx_backend import OnnxBackend
from greenroom.store.workspace import Workspace
from greenroom.validation.comparison_clip import clip_for
from greenroom.validation.eval_model import EvalModel


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("home"))
    embedded.install(workspace)
    return workspace


@pytest.fixture(scope="module")
def release(home: Workspace) -> Release:
    return load_release(home, live_release(home, "mira"))


def test_only_what_was_lost_is_made_up(release: Release, published: list[Clip]) -> None:
    backend = OnnxBackend(release.graph, release.role.shape)
    subject = EvalModel.of(release.model, backend)
    clip = next(c for c in published if c.name == "humanoid3d_dance_b")
    body = read_recording(clip.data, clip.path).body
    assert body is not None
    spec, history = subject.spec, subject.shape.history
    found = fill_gaps(subject.perform, spec, history, body)
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
    assert fill_gaps(subject.perform, spec, history, short) is None


def test_a_take_that_may_not_leave_is_not_shown(
    home: Workspace, release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedded.ingest_clips(home, "test")
    model = release.manifest.parents.model
    backend = OnnxBackend(release.graph, release.role.shape)
    asked = []

    def refuse(workspace: Workspace, take: str, purpose: str, day: object) -> str:
        asked.append(purpose)
        return "no"

    monkeypatch.setattr("greenroom.validation.comparison_clip.refusal_reason", refuse)
    assert clip_for(home, model, backend) is None and set(asked) == {"export"}
