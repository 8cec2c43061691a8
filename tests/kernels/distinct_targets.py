"""The targets, run here or emulated, for which a family of kernels generates different code."""

from __future__ import annotations

import os

from lowbit.targets import Target

from .emulated import emulated_targets
from .harness import runnable_targets

__all__ = ["distinct_targets"]


def distinct_targets(*features: str) -> list[Target]:
    """One target for every machine, vector width and subset of ``features``: this CPU's and, with LOWBIT_TEST_EMULATED
    set (five minutes more), those that QEMU runs.  tests/kernels/aarch64 has a sample of them in any case."""
    kinds: dict[object, Target] = {}
    for target in [*runnable_targets(), *(emulated_targets() if os.environ.get("LOWBIT_TEST_EMULATED") else ())]:
        kinds.setdefault((target.machine, target.vector_bytes, target.features & set(features)), target)
    return list(kinds.values())
