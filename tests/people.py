"""People of the tests: whoever approves or signs a policy has a key; the first is the root."""

from typing import Any

from greenroom.registry import policy, release
from greenroom.registry.policy import PolicyRules
from greenroom.registry.signing import make_key, private_keys
from greenroom.store.workspace import Workspace


def with_key(workspace: Workspace, name: str) -> str:
    """Make a person's key where there is none; return the name."""
    if name.strip() and not private_keys(workspace, name):
        make_key(workspace, name)
    return name


def approve(workspace: Workspace, model: str, by: str, *more: Any, **rest: Any) -> str:
    """Approve as a person who has a key."""
    return release.approve(workspace, model, with_key(workspace, by), *more, **rest)


def set_policy(workspace: Workspace, actor: str, by: str, **rules: Any) -> str:
    """Sign a policy as a person who has a key."""
    return policy.set_policy(workspace, actor, with_key(workspace, by), PolicyRules(**rules))
