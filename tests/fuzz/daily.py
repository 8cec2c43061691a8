"""A share of the campaign in every test run, with new seeds each day."""

from __future__ import annotations

import os
import time

from tests.fuzz.coverage import Coverage
from tests.fuzz.runner import run_batch

__all__ = ["SECONDS", "fuzz_today"]

SECONDS = float(os.environ.get("LOWBIT_FUZZ_SECONDS", "20"))
"""Of each kind of case."""


def fuzz_today(kind: str, examples: int) -> Coverage:
    """Batches of ``examples`` cases for SECONDS; fails with the text of the smallest failing case.  At least one batch runs."""
    seed = int(time.time() // 86400) * 10_000
    began, coverage, cases = time.monotonic(), Coverage(), 0
    while not cases or time.monotonic() - began < SECONDS:
        batch = run_batch(kind, seed, examples, max(SECONDS - (time.monotonic() - began), 5.0))
        assert not batch.failure, f"{kind} with seed {seed}:\n{batch.failure}"
        coverage.add(batch.coverage.rows)
        cases += batch.cases
        seed += 1
    print(f"{cases} cases of kind {kind}, {cases / (time.monotonic() - began):.1f} a second")
    return coverage
