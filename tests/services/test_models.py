"""Models as a service: found by a release, and their card printed."""

from pathlib import Path

import pytest

from greenroom import embedded
from greenroom.errors import BadInput
from greenroom.manifests import Model, ReleaseManifest
from greenroom.services.models import find_model, release_card
from greenroom.store.workspace import Workspace


def test_a_model_is_found_by_itself_and_by_its_release(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    release = embedded.install(workspace)
    model = workspace.objects.read(release, ReleaseManifest).parents.model
    assert find_model(workspace, release[:12]) == find_model(workspace, model) == model
    assert workspace.objects.read(model, Model).actor == embedded.ACTOR
    assert release_card(workspace, release).startswith("#")
    with pytest.raises(BadInput, match="model"):
        find_model(workspace, "f" * 64)
