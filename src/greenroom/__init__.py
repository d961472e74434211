"""Greenroom keeps a live virtual performer's model in shape."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from greenroom.client import Client, LoadedRelease, TakeArrays

__version__ = "0.1.0"
__all__ = ["Client", "LoadedRelease", "TakeArrays", "__version__"]


def __getattr__(name: str) -> Any:
    """Import the notebook's names when they are first asked for: the command needs none of them."""
    if name in ("Client", "LoadedRelease", "TakeArrays"):
        from greenroom import client

        return getattr(client, name)
    raise AttributeError(f"module 'greenroom' has no attribute '{name}'")
