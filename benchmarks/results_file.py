"""The results of one machine, kept after every finished part, so that an interrupted run loses nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

__all__ = ["ROOT", "Results", "beside", "write_between"]

ROOT = Path(__file__).resolve().parents[1]


def beside(path: Path, what: str) -> dict[str, Any] | None:
    """What another benchmark of the same machine wrote: ``<machine>-<what>.json``; None where there is none."""
    file = path.with_name(f"{path.stem}-{what}.json")
    return json.loads(file.read_text()) if file.exists() else None


def write_between(page: Path, mark: str, text: str) -> None:
    """Put ``text`` between ``<!-- mark:begin -->`` and ``<!-- mark:end -->`` of a page."""
    begin, end = f"<!-- {mark}:begin -->", f"<!-- {mark}:end -->"
    head, rest = page.read_text().split(begin)
    page.write_text(head + begin + "\n" + text + "\n" + end + rest.split(end)[1])


class Results:
    """``data``: {"machine": facts, "run": when it began, "parts": {key: part}}; a part says in ``run`` which run
    measured it.  A new run keeps the parts of earlier ones until it replaces them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data: dict[str, Any] = {"machine": {}, "run": "", "parts": {}}
        if path.exists():
            found = json.loads(path.read_text())
            if "parts" in found:  # else of a version that kept no parts
                self.data = found

    @property
    def parts(self) -> dict[str, Any]:
        parts: dict[str, Any] = self.data["parts"]
        return parts

    def begin(self, facts: Mapping[str, Any], resume: bool) -> None:
        """A new run, or the continuation of the last one."""
        if not (resume and self.data["run"]):
            self.data["run"] = datetime.now(UTC).isoformat(timespec="microseconds")
        self.data["machine"] = dict(facts)
        self.save()

    def done(self, key: str) -> bool:
        """Whether this run has measured ``key``."""
        return key in self.parts and self.parts[key]["run"] == self.data["run"]

    def put(self, key: str, part: Mapping[str, Any]) -> None:
        """Keep a finished part, on disk at once."""
        self.parts[key] = {"run": self.data["run"], "commit": self.data["machine"].get("commit", ""), **part}
        self.save()

    def save(self) -> None:
        """Written beside and renamed: the file is the old one or the new one, whatever happens."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps(self.data, indent=1) + "\n")
        new.replace(self.path)
