"""Going back to the release before: by the log alone, and never to one that may not be performed."""

from pathlib import Path

import pytest

from greenroom import embedded
from greenroom.errors import Refused
from greenroom.registry.approval import revoke, sign_approval
from greenroom.registry.promote import canary_ref, live_release, promote, rollback, start_canary
from greenroom.store.workspace import Workspace
from tests import examples
from tests.people import with_key


@pytest.fixture
def stage(tmp_path: Path) -> tuple[Workspace, list[str]]:
    """A workspace in which three releases were on stage, one after another."""
    workspace = Workspace(tmp_path)
    first = embedded.install(workspace)
    releases = [first]
    for note in ("second", "third"):
        manifest = examples.noted_release(workspace, first, note)
        releases.append(workspace.publish(manifest, by="test"))
        sign_approval(workspace, releases[-1], with_key(workspace, "test"))
        promote(workspace, "mira", releases[-1], "test")
    return workspace, releases


def test_each_rollback_goes_back_by_one_to_the_first(stage: tuple[Workspace, list[str]]) -> None:
    workspace, (first, second, third) = stage
    assert rollback(workspace, "mira", "me") == (second, third)
    assert rollback(workspace, "mira", "me") == (first, second)
    assert live_release(workspace, "mira") == first
    with pytest.raises(Refused, match="no release of mira to go back to: it is the first"):
        rollback(workspace, "mira", "me")
    assert live_release(workspace, "mira") == first


def test_after_a_rollback_a_promotion_is_what_is_gone_back_from(
    stage: tuple[Workspace, list[str]],
) -> None:
    workspace, (first, second, third) = stage
    rollback(workspace, "mira", "me")
    promote(workspace, "mira", third, "me")
    assert rollback(workspace, "mira", "me") == (second, third)


def test_a_revoked_release_is_passed_over(stage: tuple[Workspace, list[str]]) -> None:
    workspace, (first, second, third) = stage
    revoke(workspace, second, "officer", "consent withdrawn")
    assert rollback(workspace, "mira", "me") == (first, third)
    revoke(workspace, first, "officer", "too")
    promote(workspace, "mira", third, "me")
    revoke(workspace, third, "officer", "and this")
    with pytest.raises(Refused, match="officer revoked it"):
        rollback(workspace, "mira", "me")
    assert live_release(workspace, "mira") == third


def test_what_is_on_trial_leaves_and_the_champion_is_back(
    stage: tuple[Workspace, list[str]],
) -> None:
    workspace, (first, second, third) = stage
    start_canary(workspace, "mira", first, "test")
    assert rollback(workspace, "mira", "me") == (third, first)
    assert live_release(workspace, "mira") == third == workspace.log.ref(canary_ref("mira"))
    assert rollback(workspace, "mira", "me") == (second, third)
    # The ref of the trial is behind the live one now; nothing is on trial.
    assert rollback(workspace, "mira", "me") == (first, second)
