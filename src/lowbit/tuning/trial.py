"""One measurement of one decision, and which of several decisions is the best."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from lowbit.kernels.conv2d.selection.decision import Decision, Key

__all__ = ["Trial", "best_trial"]


@dataclass(frozen=True)
class Trial:
    """``key``: of the problem and what its weights allowed.  ``rung``: how thoroughly it was measured, 0 least.
    ``ns``: median nanoseconds.  ``ratio``: median of time / time of the model's choice in the same rounds."""

    key: Key
    threads: int
    decision: Decision
    rung: int
    ns: float
    ratio: float

    def to_json(self) -> dict[str, Any]:
        """``key`` names the problem alone; ``allows`` stands beside it."""
        values = {**asdict(self), "key": self.key.problem, "decision": self.decision.to_json()}
        return {"key": values.pop("key"), "allows": self.key.allows, **values}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Trial:
        """Raises ValueError for anything :meth:`to_json` would not give."""
        try:
            trial = cls(
                Key(data["key"], data["allows"]),
                data["threads"],
                Decision.from_json(data["decision"]),
                data["rung"],
                data["ns"],
                data["ratio"],
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a trial: {error!r}") from None
        numbers = isinstance(trial.ns, int | float) and isinstance(trial.ratio, int | float)
        whole = type(trial.threads) is int and type(trial.rung) is int
        if not (all(isinstance(text, str) for text in trial.key) and whole and numbers and trial.ns > 0 and trial.ratio > 0):
            raise ValueError(f"not a trial: {data!r}")
        return trial


def best_trial(trials: Iterable[Trial]) -> Trial | None:
    """Of those measured most thoroughly the one with the smallest ratio (the first, where several have it)."""
    found = list(trials)
    if not found:
        return None
    last = max(trial.rung for trial in found)
    return min((trial for trial in found if trial.rung == last), key=lambda trial: trial.ratio)
