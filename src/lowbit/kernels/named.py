"""Objects by the text ``module:name``, imported when they are asked for, so that a table stays light."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ["named"]


def named(place: str) -> Any:
    """The object.  Raises ImportError or AttributeError where there is none."""
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)
