"""Ed25519 keys and signed statements, so that nobody can approve or rule in another person's name.

A private key is a file under HOME/keys, readable by its owner alone, one file per key. Its public half,
its owner's name and its expiry are an entry of the log. The first key that `greenroom key new` makes is
the root of the workspace. Every later key, and every revocation of a key, counts only with the signature
of the root (a revocation also with the signature of the key itself). Two kinds of keys need no root:
those of the package's own release, and the demo's, which count only while the workspace has no root.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote
from weakref import WeakKeyDictionary

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from greenroom.clock import utc_day
from greenroom.errors import BadInput, Refused
from greenroom.registry.names import check_owner
from greenroom.store.log import Entry, Log
from greenroom.store.objects import canonical, write_durably
from greenroom.store.workspace import Workspace

_RAW = (serialization.Encoding.Raw, serialization.PublicFormat.Raw)
ROOT, SIGNED, PACKAGE, DEMO = "root", "signed", "package", "demo"
"""Why a key counts: it is the root, the root signed it, it came with the package, it is the demo's."""


@cache
def package_keys() -> frozenset[str]:
    """Return the public keys of those who approved the release in the package."""
    path = resources.files("greenroom") / "embedded" / "release.json"
    if not path.is_file():
        return frozenset()
    return frozenset(key["public"] for key in msgspec.json.decode(path.read_bytes())["keys"])


@dataclass(frozen=True)
class Key:
    """A public key, as the log knows it.

    Attributes:
        public: 64 hex digits.
        owner: the person's name.
        expires: the last day on which it counts; None for no end.
        revoked: whether it was withdrawn.
        trust: why it counts: one of `ROOT`, `SIGNED`, `PACKAGE`, `DEMO`; "" where nothing says so.
    """

    public: str
    owner: str
    expires: datetime.date | None
    revoked: bool = False
    trust: str = ""

    def statement(self) -> dict[str, Any]:
        """Return what the root signs to let this key count."""
        expires = None if self.expires is None else self.expires.isoformat()
        return {"public": self.public, "owner": self.owner, "expires": expires}


def read_keys(entries: Sequence[Entry]) -> dict[str, Key]:
    """Return every key that entries of the log name, by its public half.

    A key's entry may come again: with the root's signature, which the first did not have.
    """
    keys: dict[str, Key] = {}
    root: Key | None = None
    for entry in entries:
        public = str(entry.body.get("public", ""))
        if entry.event == "key":
            key = _key_of(entry)
            if key is None:
                continue
            signer = None if root is None else keys[root.public]
            trust = _trust(key, entry, signer)
            if public not in keys:
                keys[public] = replace(key, trust=trust)
                root = keys[public] if trust == ROOT else root
            elif trust == SIGNED and not keys[public].trust:
                keys[public] = replace(key, trust=trust, revoked=keys[public].revoked)
        elif entry.event == "revoke-key" and public in keys:
            signers = {public, root.public if root else public}
            if _signed_by(signers, {"revoke": public}, entry.body):
                keys[public] = replace(keys[public], revoked=True)
    if root is not None:
        keys = {p: replace(k, trust="") if k.trust == DEMO else k for p, k in keys.items()}
    return keys


def _key_of(entry: Entry) -> Key | None:
    """Return the key that an entry of the log names; None where it has another form."""
    body = entry.body
    try:
        expires = body["expires"]
        day = None if expires is None else datetime.date.fromisoformat(expires)
        return Key(str(body["public"]), str(body["owner"]), day)
    except (KeyError, TypeError, ValueError):
        return None


def _trust(key: Key, entry: Entry, root: Key | None) -> str:
    body = entry.body
    if key.public in package_keys():
        return PACKAGE
    if body.get("trust") == DEMO:
        return DEMO
    if root is None:
        return ROOT if body.get("trust") == ROOT else ""
    if root.revoked or (root.expires is not None and utc_day(entry.latest_ns) > root.expires):
        return ""
    return SIGNED if _signed_by({root.public}, key.statement(), body) else ""


def _signed_by(publics: set[str], statement: dict[str, Any], body: dict[str, Any]) -> bool:
    signer = str(body.get("signed_by", ""))
    return signer in publics and _matches(signer, str(body.get("signature", "")), statement)


def _matches(public: str, signature: str, statement: dict[str, Any]) -> bool:
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public))
        key.verify(bytes.fromhex(signature), canonical(statement))
    except (InvalidSignature, ValueError):
        return False
    return True


def keys_of(workspace: Workspace, before: int | None = None) -> dict[str, Key]:
    """Return every key that the log knows, by its public half.

    Args:
        workspace: the workspace.
        before: only entries of the log before this index count; None for all.
    """
    entries = workspace.log.entries()[:before]
    keys_by_size = _KEYS.setdefault(workspace.log, {})
    if len(entries) not in keys_by_size:
        if len(keys_by_size) >= _KEYS_KEPT:
            keys_by_size.clear()
        keys_by_size[len(entries)] = read_keys(entries)
    return dict(keys_by_size[len(entries)])


_KEYS: WeakKeyDictionary[Log, dict[int, dict[str, Key]]] = WeakKeyDictionary()
"""By log and number of its entries: the keys, because entries never change."""
_KEYS_KEPT = 64


def root_key(workspace: Workspace) -> Key | None:
    """Return the workspace's root; None where `greenroom key new` has made no key yet."""
    return next((key for key in keys_of(workspace).values() if key.trust == ROOT), None)


def private_keys(workspace: Workspace, owner: str) -> list[Path]:
    """Return the files of somebody's private keys that are here, the oldest first."""
    name = quote(owner, safe=" ")
    files = (workspace.home / "keys").glob("*.pem")
    mine = [file for file in files if file.stem.rpartition("-")[0] == name]
    return sorted(mine, key=lambda file: file.stat().st_mtime_ns)


def _owners(workspace: Workspace) -> list[str]:
    """Return the names of those who have a key that counts."""
    return [key.owner for key in keys_of(workspace).values() if key.trust]


def make_key(
    workspace: Workspace, owner: str, expires: datetime.date | None = None, trust: str = ROOT
) -> Key:
    """Make a key, keep its private half under HOME/keys, and enter its public half in the log.

    The first becomes the workspace's root. A later one is signed by the root where the root's private
    key is at hand; else it counts only after :func:`sign_key`.

    Args:
        workspace: the workspace.
        owner: the person's name.
        expires: the last day on which it counts; None for no end.
        trust: `ROOT` for a person's key; `DEMO` for the demo's, which never becomes the root.

    Raises:
        BadInput: the name cannot be a key's owner's (see `check_owner`).
        CheckFailed: the log's newest time is from the future (see `Log.require_clock`).
    """
    workspace.log.require_clock()
    check_owner(owner, _owners(workspace))
    private = Ed25519PrivateKey.generate()
    key = Key(private.public_key().public_bytes(*_RAW).hex(), owner, expires)
    path = workspace.home / "keys" / f"{quote(owner, safe=' ')}-{key.public[:8]}.pem"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.parent.chmod(0o700)
    umask = os.umask(0o077)
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
        os.umask(umask)
    root = root_key(workspace)
    if trust == DEMO:
        body = {**key.statement(), "trust": DEMO}
    elif root is None:
        body = {**key.statement(), "trust": ROOT}
    else:
        body = {**key.statement(), **_root_signature(workspace, root, key.statement())}
    workspace.log.append("key", body, by=owner)
    return keys_of(workspace)[key.public]


def _root_signature(workspace: Workspace, root: Key, statement: dict[str, Any]) -> dict[str, str]:
    """Return the root's signature of a statement; nothing where its private key is not here."""
    for path in private_keys(workspace, root.owner):
        private = _read_private(path, root.owner)
        if private.public_key().public_bytes(*_RAW).hex() == root.public:
            signature = private.sign(canonical(statement)).hex()
            return {"signed_by": root.public, "signature": signature}
    return {}


def sign_key(workspace: Workspace, public: str) -> Key:
    """Let a key count that was made where the root's private key was not at hand.

    Args:
        workspace: where the root's private key is.
        public: the key, or its first digits.

    Raises:
        BadInput: there is no such key, or the root's private key is not here.
        Refused: the root itself does not count any more, and so the key does not either.
        CheckFailed: the log's newest time is from the future (see `Log.require_clock`).
    """
    workspace.log.require_clock()
    matches = [key for key in keys_of(workspace).values() if key.public.startswith(public)]
    if len(public) < 6 or len(matches) != 1:
        raise BadInput(f"{len(matches)} keys begin with '{public}'", then="greenroom key list")
    key, root = matches[0], root_key(workspace)
    check_owner(key.owner, _owners(workspace))
    signature = {} if root is None else _root_signature(workspace, root, key.statement())
    if not signature:
        raise BadInput(
            "only the workspace's root can sign a key, and its private key is not under HOME/keys",
            then="run this where it is; greenroom key list names the root",
        )
    workspace.log.append("key", {**key.statement(), **signature}, by=root.owner if root else "")
    signed = keys_of(workspace)[key.public]
    if not signed.trust:
        raise Refused(
            f"the key of {key.owner} still does not count: the root's own key is revoked or expired",
            then="greenroom key list shows it; the keys that it signed before count still",
        )
    return signed


def add_package_key(workspace: Workspace, public: str, owner: str, by: str) -> None:
    """Enter the key of somebody who approved the release in the package; a known one stays as it is."""
    if public not in keys_of(workspace):
        workspace.log.append("key", Key(public, owner, None).statement(), by=by)


def revoke_key(workspace: Workspace, owner: str, by: str) -> list[str]:
    """Withdraw every key of a person: what they signed counts no more. Return the public halves.

    Raises:
        BadInput: the person has no key that could be revoked.
        Refused: neither the root's private key nor the person's own is here to sign it.
    """
    keys = [key for key in keys_of(workspace).values() if key.owner == owner and not key.revoked]
    if not keys:
        raise BadInput(f"'{owner}' has no key that could be revoked")
    root = root_key(workspace)
    signatures = {}
    for key in keys:
        statement = {"revoke": key.public}
        signature = {} if root is None else _root_signature(workspace, root, statement)
        signature = signature or _root_signature(workspace, key, statement)
        if not signature and not key.trust:
            continue  # an entry that anybody could have made; its key does not count anyway
        if not signature:
            raise Refused(
                f"the revocation of {owner}'s key {key.public[:12]} needs a signature",
                then="run this where the private key of the root, or of that key, is",
            )
        signatures[key.public] = signature
    if not signatures:
        raise BadInput(f"'{owner}' has no key that counts and could be revoked")
    for public, signature in signatures.items():
        workspace.log.append("revoke-key", {"public": public, **signature}, by=by)
    for path in private_keys(workspace, owner):
        path.unlink(missing_ok=True)
    return list(signatures)


def _read_private(path: Path, owner: str) -> Ed25519PrivateKey:
    try:
        private = serialization.load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise BadInput(
            f"the key of '{owner}' cannot be read: {error}",
            where=str(path),
            then=f"restore the file, or make another: greenroom key new '{owner}'",
        ) from error
    if not isinstance(private, Ed25519PrivateKey):
        raise BadInput(f"{path} is not an Ed25519 key")
    return private


def sign(workspace: Workspace, owner: str, statement: dict[str, Any]) -> dict[str, Any]:
    """Return {"statement", "key", "signature"}, signed with a person's key that counts.

    The root's key comes first where it is that person's, then the newest.

    Raises:
        BadInput: no name was given, or no private key of that person is here or readable.
        Refused: none of the keys counts today.
        CheckFailed: the log's newest time is from the future (see `Log.require_clock`).
    """
    workspace.log.require_clock()
    if not owner.strip():
        raise BadInput("a signature needs a name", then="give --by NAME")
    refusal: Refused | None = None
    root = root_key(workspace)
    root_name = "" if root is None else f"-{root.public[:8]}"
    paths = private_keys(workspace, owner)[::-1]
    for path in sorted(paths, key=lambda path: not path.stem.endswith(root_name)):
        private = _read_private(path, owner)
        signed = {
            "statement": statement,
            "key": private.public_key().public_bytes(*_RAW).hex(),
            "signature": private.sign(canonical(statement)).hex(),
        }
        try:
            verify(workspace, signed)
        except Refused as error:
            refusal = refusal or error
        else:
            return signed
    if refusal is not None:
        raise refusal
    raise BadInput(f"'{owner}' has no key here", then=f"run: greenroom key new '{owner}'")


def verify(workspace: Workspace, signed: dict[str, Any], at: Entry | None = None) -> Key:
    """Return the key under a signed statement.

    Args:
        workspace: the workspace.
        signed: a statement with "key" and "signature".
        at: the entry of the log at which the key has to have counted: keys are those before it, and
            its day is the latest that the log had claimed by then. None for today.

    Raises:
        Refused: the key is unknown, revoked, expired or unsigned, or the signature is not its.
    """
    key = keys_of(workspace, None if at is None else at.index).get(signed["key"])
    if key is None:
        raise Refused("it is signed by a key that the log does not know")
    if key.revoked:
        raise Refused(f"the key of {key.owner} was revoked")
    if not key.trust:
        root = root_key(workspace)
        then = (
            ""
            if root is None
            else f"{root.owner} can sign it: greenroom key sign {key.public[:12]}"
        )
        raise Refused(f"the key of {key.owner} is not signed by the workspace's root", then=then)
    today = workspace.today() if at is None else workspace.day_of(at.latest_ns)
    if key.expires is not None and today > key.expires:
        raise Refused(f"the key of {key.owner} expired on {key.expires}")
    if not _matches(key.public, signed["signature"], signed["statement"]):
        raise Refused(f"the signature is not {key.owner}'s")
    return key
