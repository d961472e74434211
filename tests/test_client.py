"""What a notebook does with a workspace: tables, arrays, features, inference, a ledger."""

from pathlib import Path

import numpy as np
import pytest

from greenroom import Client, embedded
from greenroom.capture.sample_data import Clip
from greenroom.contracts import golden_clip
from greenroom.errors import BadInput
from greenroom.live.show import perform
from greenroom.live.supervisor import ShowSpec
from greenroom.registry.release import load_release
from greenroom.store.workspace import Workspace


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, published: list[Clip]) -> Client:
    folder = tmp_path_factory.mktemp("home")
    workspace = Workspace(folder)
    embedded.install(workspace)
    embedded.ingest_clips(workspace, "test")
    return Client(folder)


def test_takes_are_a_table(client: Client) -> None:
    table = client.takes(actor="mira")
    assert len(table) > 15 and table["usable"].all()
    walk = table[table["name"] == "humanoid3d_walk"].iloc[0]
    assert walk["media"] == "body" and walk["seconds"] == pytest.approx(39 / 30)
    assert len(client.takes(actor="nobody")) == 0


def test_a_take_is_arrays(client: Client) -> None:
    walk = client.take("humanoid3d_walk")
    assert walk.rotations is not None and walk.rotations.shape == (39, 55, 4)
    assert walk.face is None and walk.voice is None and walk.labels == {}
    with pytest.raises(BadInput, match="there is no take"):
        client.take("nothing")


def test_features_are_those_of_the_release(client: Client) -> None:
    release = client.release("mira")
    joints = release.release.role.spec.joints
    features = client.features("humanoid3d_walk", joints)
    assert features["state"].shape == (39, release.release.role.spec.state_width)
    assert np.isfinite(features["state"][1:]).all() and "speech" not in features
    everything = client.features("humanoid3d_walk")
    assert everything["valid"].min() > 0


def test_a_release_infers(client: Client) -> None:
    release = client.release("mira")
    inputs = golden_clip(release.release.role.shape)[0]
    outputs = release.infer(inputs)
    assert outputs["pose"].shape == (1, release.release.role.shape.state)
    with pytest.raises(BadInput, match=r"the input 'history' .* is missing"):
        release.infer({})
    with pytest.raises(BadInput, match=r"'history' has the shape \(3,\), not \(1, "):
        release.infer({**inputs, "history": np.zeros(3, np.float32)})


def test_a_show_has_a_ledger(client: Client, tmp_path: Path) -> None:
    workspace = client.workspace
    release = load_release(workspace, embedded.install(workspace))
    take = client.take("humanoid3d_walk").take
    show = perform(workspace, ShowSpec(release, [take], 45), "test").show
    ledger = client.ledger(show[:10])
    assert ledger["tick"].tolist() == list(range(45))
    assert set(ledger["rung"]) <= {"capture", "speech", "previous", "hold"}
    assert (ledger["emit"] >= ledger["due"]).all()
