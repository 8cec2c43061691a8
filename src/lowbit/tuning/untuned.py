"""The hint that a network could run faster."""

from __future__ import annotations

from lowbit.backend.table import obstacle
from lowbit.lowering import Program
from lowbit.progress import notice
from lowbit.targets import Target

__all__ = ["report_untuned"]


def report_untuned(program: Program, target: Target, refused: int, progress: bool | None) -> None:
    """One line for a network that could run faster here, once a process.  ``refused``: how many decisions were
    known but not admissible."""
    tuned = [call.tuned for call in program.calls if call.tuned is not None]
    untuned = tuned.count(False)
    if untuned and not obstacle(target):
        text = f"{untuned} of {len(tuned)} convolutions run untuned (estimated)"
        text += f", {refused} of them because their weights do not allow what was measured" if refused else ""
        notice("untuned", f"{text}; tune them with: lowbit tune, or compile(tune=True)", progress)
