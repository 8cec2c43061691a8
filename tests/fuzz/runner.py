"""Many cases from one seed."""

from __future__ import annotations

import time
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.fuzz.cases import run_case
from tests.fuzz.coverage import Coverage
from tests.fuzz.draws import Rejected

__all__ = ["Batch", "run_artifacts", "run_batch"]

SHRINKING = 60.0
"""Seconds that a failing case may take to become small."""


class _TimeIsUpError(BaseException):
    """Passes through Hypothesis, which takes an Exception for a finding."""


@dataclass
class Batch:
    """``cases``: that were checked to the end; ``rejected``: draws that are no case; ``refused``: messages of lowbit's own,
    counted; ``failure``: the smallest failing case, as text."""

    kind: str
    seed: int
    cases: int = 0
    rejected: int = 0
    seconds: float = 0.0
    refused: Counter[str] = field(default_factory=Counter)
    coverage: Coverage = field(default_factory=Coverage)
    failure: str = ""
    origin: str = ""


def run_batch(
    kind: str, number: int, examples: int, seconds: float = float("inf"), journal: Path | None = None, **options: Any
) -> Batch:
    """``examples`` draws of ``kind`` with the seed ``number``, or what fits into ``seconds``; a failure, shrunk, ends it.

    ``journal``: a file that holds the case under way, should it end the process."""
    batch = Batch(kind, number)
    began = time.perf_counter()
    failed_at, over = 0.0, False

    @seed(number)
    @settings(
        max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck), report_multiple_bugs=False,
        phases=(Phase.generate, Phase.shrink), print_blob=False,
    )  # fmt: skip
    @given(st.data())
    def cases(data: st.DataObject) -> None:
        nonlocal failed_at, over
        now = time.perf_counter()
        if now - began > seconds or (batch.failure and now - failed_at > SHRINKING):
            over = True
            raise _TimeIsUpError
        try:
            checked = run_case(kind, data.draw, journal, **options)
        except Rejected:
            batch.rejected += 1
            return
        except Exception as error:
            failed_at = failed_at or now
            text = _report(error)
            if not batch.failure or (len(text) < len(batch.failure) and _origin(error) == batch.origin):
                batch.failure, batch.origin = text, _origin(error)
            raise
        if not batch.failure:
            batch.cases += checked.compared
            batch.refused += checked.refused
            batch.coverage.add(checked.coverage.rows)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            cases()
        except _TimeIsUpError:
            pass
        except Exception:  # the finding itself, or Hypothesis about a case that was cut short
            if not batch.failure and not over:
                raise
    batch.seconds = time.perf_counter() - began
    return batch


def run_artifacts(number: int, mutations: int) -> Batch:
    """Mutations of saved networks (tests/fuzz/artifacts.py) as a batch."""
    from tests.fuzz.artifacts import campaign

    batch = Batch("artifact", number)
    began = time.perf_counter()
    try:
        counts = campaign(number, mutations, workers=1)
    except Exception as error:
        batch.failure, batch.origin = _report(error), f"artifact {number}: {str(error)[:120]}"
    else:
        batch.cases = mutations
        for outcome, count in counts.items():
            batch.coverage.add([["artifact", outcome, "", "", "", "", count]])
    batch.seconds = time.perf_counter() - began
    return batch


def _frames(error: BaseException) -> list[str]:
    frames, trace = [], error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        frames.append(f"{code.co_filename.rpartition('/src/')[2].rpartition('/tests/')[2]}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    return frames


def _origin(error: BaseException) -> str:
    return f"{type(error).__name__} at {_frames(error)[-1]}"


def _report(error: BaseException) -> str:
    notes = "\n".join(getattr(error, "__notes__", []))
    where = "\n".join(f"#   {frame}" for frame in _frames(error)[-6:])
    message = "\n# ".join(f"{type(error).__name__}: {error}".splitlines()[:12])
    return f"# {message}\n{where}\n{notes}\n"
