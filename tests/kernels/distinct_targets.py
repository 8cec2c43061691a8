"""The runnable targets for which a family of kernels generates different code."""

from __future__ import annotations

from lowbit.targets import Target

from .harness import runnable_targets

__all__ = ["distinct_targets"]


def distinct_targets(*features: str) -> list[Target]:
    """One target for every vector width and subset of ``features`` that this CPU runs."""
    kinds: dict[object, Target] = {}
    for target in runnable_targets():
        kinds.setdefault((target.vector_bytes, target.features & set(features)), target)
    return list(kinds.values())
