"""Put a person's name under a release so that nobody else could have: Ed25519 keys and statements.

A private key is a file under HOME/keys, readable by its owner alone; its public half, its owner's name
and its expiry are an entry of the log. What is signed is the canonical JSON of a statement.
"""

from __future__ import annotations

import datetime
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from greenroom.errors import BadInput, Refused
from greenroom.store.objects import canonical, write_durably
from greenroom.store.workspace import Workspace

_RAW = (serialization.Encoding.Raw, serialization.PublicFormat.Raw)


@dataclass(frozen=True)
class Key:
    """A public key, as the log knows it.

    Attributes:
        public: 64 hex digits.
        owner: whose it is.
        expires: the last day on which it counts; None for no end.
        revoked: whether it was withdrawn.
    """

    public: str
    owner: str
    expires: datetime.date | None
    revoked: bool = False


def keys_of(workspace: Workspace) -> dict[str, Key]:
    """Return every key that the log knows, by its public half."""
    out: dict[str, Key] = {}
    for entry in workspace.log.entries():
        public = entry.body.get("public", "")
        if entry.event == "key" and public not in out:
            end = entry.body["expires"]
            expires = None if end is None else datetime.date.fromisoformat(end)
            out[public] = Key(public, entry.body["owner"], expires)
        elif entry.event == "revoke-key" and public in out:
            key = out[public]
            out[public] = Key(key.public, key.owner, key.expires, revoked=True)
    return out


def key_path(workspace: Workspace, owner: str) -> Path:
    """Return where somebody's private key is."""
    return workspace.home / "keys" / f"{quote(owner, safe=' ')}.pem"


def make_key(workspace: Workspace, owner: str, expires: datetime.date | None = None) -> Key:
    """Make somebody's key, keep its private half under HOME/keys, and enter it in the log.

    Raises:
        BadInput: no name was given, or there is a key of that name.
    """
    if not owner.strip():
        raise BadInput("a key needs its owner's name")
    path = key_path(workspace, owner)
    if path.exists():
        raise BadInput(f"'{owner}' has a key already", then="revoke it first: greenroom key revoke")
    private = Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes(*_RAW).hex()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.parent.chmod(0o700)
    before = os.umask(0o077)
    try:
        write_durably(
            path,
            private.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ),
        )
    finally:
        os.umask(before)
    enter_key(workspace, Key(public, owner, expires), by=owner)
    return Key(public, owner, expires)


def enter_key(workspace: Workspace, key: Key, by: str) -> None:
    """Make a public key known; a known one stays as it is."""
    if key.public not in keys_of(workspace):
        expires = None if key.expires is None else key.expires.isoformat()
        body = {"public": key.public, "owner": key.owner, "expires": expires}
        workspace.log.append("key", body, by=by)


def revoke_key(workspace: Workspace, owner: str, by: str) -> list[str]:
    """Withdraw every key of a person: what they signed counts no more. Return the public halves."""
    public_keys = [
        k.public for k in keys_of(workspace).values() if k.owner == owner and not k.revoked
    ]
    if not public_keys:
        raise BadInput(f"'{owner}' has no key that could be revoked")
    for public in public_keys:
        workspace.log.append("revoke-key", {"public": public}, by=by)
    key_path(workspace, owner).unlink(missing_ok=True)
    return public_keys


def sign(workspace: Workspace, owner: str, statement: dict[str, Any]) -> dict[str, Any]:
    """Return {"statement", "key", "signature"}, signed by somebody whose private key is here.

    Raises:
        BadInput: it is not here or not readable.
        Refused: the log does not know it, or it has expired.
    """
    path = key_path(workspace, owner)
    try:
        private = serialization.load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise BadInput(
            f"the key of '{owner}' cannot be read: {error}", then=f"greenroom key new '{owner}'"
        ) from error
    if not isinstance(private, Ed25519PrivateKey):
        raise BadInput(f"{path} is not an Ed25519 key")
    public = private.public_key().public_bytes(*_RAW).hex()
    signed = {
        "statement": statement,
        "key": public,
        "signature": private.sign(canonical(statement)).hex(),
    }
    verify(workspace, signed)
    return signed


def verify(workspace: Workspace, signed: dict[str, Any]) -> Key:
    """Return the key under a signed statement.

    Raises:
        Refused: it is unknown, revoked, expired, or the signature is not its.
    """
    key = keys_of(workspace).get(signed["key"])
    if key is None:
        raise Refused("it is signed by a key that the log does not know")
    if key.revoked:
        raise Refused(f"the key of {key.owner} was revoked")
    if key.expires is not None and workspace.today() > key.expires:
        raise Refused(f"the key of {key.owner} expired on {key.expires}")
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(key.public)).verify(
            bytes.fromhex(signed["signature"]), canonical(signed["statement"])
        )
    except (InvalidSignature, ValueError):
        raise Refused(f"the signature is not {key.owner}'s") from None
    return key
