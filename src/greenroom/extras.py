"""Import optional packages, with one error that says how to install them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from greenroom.errors import MissingExtra


def require(package: str, extra: str, purpose: str = "") -> Any:
    """Return a module that an extra installs.

    Args:
        package: dotted name of the module, such as "torch" or "mlflow.entities".
        extra: name of the extra that installs it.
        purpose: what needs it, for the error; "" for the package's own name.

    Raises:
        MissingExtra: it is not installed.

    >>> require("json", "none").dumps([1])
    '[1]'
    """
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        raise MissingExtra(purpose or package, extra) from error
