"""Bring on a running show's stage what the log says: releases that move, are revoked, and controls."""

from __future__ import annotations

import time
from collections.abc import Callable

from greenroom.errors import BadInput, CheckFailed, GreenroomError, Refused
from greenroom.live.control import act_of
from greenroom.live.supervisor import EngineSupervisor
from greenroom.registry.approval import require_approved
from greenroom.registry.promote import canary_active, canary_ref, live_ref, rollback
from greenroom.registry.release import load_release
from greenroom.store.workspace import Workspace

FOLLOW_S = 0.02
"""How often the log is asked which release is to perform, and what an operator has ordered."""


class RefFollower:
    """Follow an actor's refs: where `live` or `canary` moves while the show runs, the stage follows.

    Args:
        workspace: whose log says where the ref is.
        actor: whose.
        cast: the show's processes.
        by: whose show it is, for the log.
        warn: told why a release does not come on stage, or leaves it.
    """

    def __init__(
        self,
        workspace: Workspace,
        actor: str,
        cast: EngineSupervisor,
        by: str,
        warn: Callable[[str], None],
    ) -> None:
        """Note where the ref is: it is only followed from there."""
        self.workspace, self.actor, self.cast, self.by, self.warn = workspace, actor, cast, by, warn
        self.names = (live_ref(actor), canary_ref(actor))
        self._positions = {name: workspace.log.ref(name) for name in self.names}
        self._next_s = 0.0
        self._entries = self._obeyed = workspace.log.head()[0]
        self._last_warning = ""

    def look(self) -> None:
        """Bring a release on stage where the ref has moved to it."""
        now = time.monotonic()
        if now < self._next_s:
            return
        self._next_s = now + FOLLOW_S
        try:
            entries = self.workspace.log.head()[0]
            if entries == self._entries:
                return
            self._obey()
            for name in self.names:
                release = self.workspace.log.ref(name)
                if release is not None and release != self._positions[name]:
                    self._bring(name, release)
            self._withdraw()
            self._entries = entries
        except (GreenroomError, OSError) as error:  # the show goes on, and it is tried again
            self._warn(f"no release comes on stage: {error}")

    def _obey(self) -> None:
        """Do what operators have ordered, in the order of the log."""
        for entry in self.workspace.log.entries(self._obeyed):
            self._obeyed += 1  # each once, whatever fails afterwards
            act = act_of(entry, self.actor)
            if act is not None:
                self.cast.order_control(act)
                self.warn(f"{act}: ordered by {entry.by}")

    def _bring(self, ref: str, release: str) -> None:
        try:
            self.cast.swap(load_release(self.workspace, release))
        except (BadInput, CheckFailed) as error:  # it may not perform here: asking again is no use
            self._warn(f"no release comes on stage: {error}")
        self._positions[ref] = release

    def _withdraw(self) -> None:
        """Where somebody revoked a release, let it wait no more, and leave the stage if it is there.

        An approval that ends meanwhile ends no show.
        """
        new = self.workspace.log.entries(self._entries)
        revoked = {entry.body["release"] for entry in new if entry.event == "revoke"}
        for release in [candidate for candidate in self.cast.releases if candidate.name in revoked]:
            try:
                require_approved(self.workspace, release.name, release.manifest)
            except Refused as error:
                if self.cast.dismiss(release.name):
                    self._leave(release.name, error.what)

    def _leave(self, release: str, why: str) -> None:
        """Go back from a release that may not perform any more, unless another comes already."""
        live, trying = (self.workspace.log.ref(name) for name in self.names)
        if release != live and not (
            release == trying and canary_active(self.workspace, self.actor)
        ):
            return
        try:
            back, _ = rollback(self.workspace, self.actor, self.by)
        except Refused as error:
            self._warn(f"what performs may not: {why}; it goes on, for {error.what}")
        else:
            self._warn(f"what performs may not: {why}; going back to release {back[:12]}")

    def _warn(self, message: str) -> None:
        if message != self._last_warning:
            self._last_warning = message
            self.warn(message)
