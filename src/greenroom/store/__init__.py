"""What is durable: objects, the log, the catalogue; and the registry that opens a workspace by URL."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from greenroom.plugins import Registry, scheme_of

if TYPE_CHECKING:
    from greenroom.store.workspace import Workspace

STORES: Registry[Callable[[str], Workspace]] = Registry(
    "greenroom.stores", {"file": "greenroom.store.workspace:open_folder"}
)
"""Scheme → what opens it."""


def open_store(url: str) -> Workspace:
    """Return the workspace at a URL or in a folder.

    Args:
        url: a folder's path, "file:///home/ada/greenroom", or another scheme of `STORES`.

    Raises:
        BadInput: the scheme is not known, or the URL is unusable.
    """
    return STORES.get(scheme_of(url) or "file")(url)
