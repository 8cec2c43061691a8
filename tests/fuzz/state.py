"""What a campaign knows, kept between runs."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.fuzz.coverage import Coverage
from tests.fuzz.runner import Batch

__all__ = ["Failure", "State"]


@dataclass(frozen=True)
class Failure:
    """A finding: the kind of case, the seed that draws it again, where it was raised, its text in the folder."""

    kind: str
    seed: int
    origin: str
    file: str


@dataclass
class State:
    """``seeds``: the next of each kind.  Everything adds up over all runs in ``folder``."""

    folder: Path
    cases: Counter[str] = field(default_factory=Counter)
    seconds: Counter[str] = field(default_factory=Counter)
    seeds: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    coverage: Coverage = field(default_factory=Coverage)
    failures: list[Failure] = field(default_factory=list)

    @classmethod
    def open(cls, folder: Path) -> State:
        """What earlier runs left there, or a new one."""
        folder.mkdir(parents=True, exist_ok=True)
        state, path = cls(folder), folder / "state.json"
        if path.exists():
            known: dict[str, Any] = json.loads(path.read_text())
            for name in ("cases", "seconds", "seeds", "refused"):
                getattr(state, name).update(known[name])
            state.coverage.add(known["coverage"])
            state.failures = [Failure(**failure) for failure in known["failures"]]
        return state

    def save(self) -> None:
        """At once or not at all."""
        content = {
            **{name: dict(getattr(self, name)) for name in ("cases", "seconds", "seeds", "refused")},
            "coverage": self.coverage.rows,
            "failures": [asdict(failure) for failure in self.failures],
        }
        temporary = self.folder / f".state-{os.getpid()}"
        temporary.write_text(json.dumps(content, indent=0))
        temporary.replace(self.folder / "state.json")

    def next_seed(self, kind: str) -> int:
        self.seeds[kind] += 1
        return self.seeds[kind] - 1

    def add(self, batch: Batch) -> None:
        self.cases[batch.kind] += batch.cases
        self.seconds[batch.kind] += batch.seconds
        self.refused += batch.refused
        self.coverage.add(batch.coverage.rows)
        if batch.failure:
            self.fail(batch.kind, batch.seed, batch.origin, batch.failure)

    def fail(self, kind: str, seed: int, origin: str, text: str) -> None:
        """Keeps the case of a finding; one that was found before at the same place is not kept twice."""
        if any(known.origin == origin for known in self.failures):
            return
        name = f"{kind}-{seed}.py"
        (self.folder / name).write_text(text)
        self.failures.append(Failure(kind, seed, origin, name))
