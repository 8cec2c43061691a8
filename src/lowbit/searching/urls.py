"""Addresses of storages."""

from __future__ import annotations

import re

__all__ = ["masked"]


def masked(text: str) -> str:
    """With ``***`` for the password of every URL: pages, files and messages are passed on."""
    return re.sub(r"(://[^:/@\s]*):\S*@", r"\1:***@", text)
