"""What was measured on this machine: a file of JSON lines that only grows.

One file for each CPU model, target and generator of kernels, in ``cache_folder()/tuning``: the first line says
which, every other is a :class:`Trial`.  Lines are appended under a lock in one write, so processes may tune at the
same time and an interruption loses at most the line being written; the next writer removes such a torn line.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import warnings
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from lowbit.backend.cache import cache_folder, generator_version
from lowbit.targets import Target
from lowbit.targets.host import cpu_model
from lowbit.tuning.trial import Trial

__all__ = ["Database", "Origin", "databases", "tuning_folder", "user_database"]

_FORMAT = 1


@dataclass(frozen=True)
class Origin:
    """Where measurements hold: CPU model, target, and hash of what generates kernels."""

    cpu: str
    target: str
    generator: str

    @property
    def file_name(self) -> str:
        digest = hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:12]
        cpu = re.sub(r"[^a-z0-9]+", "-", self.cpu.lower()).strip("-")
        return f"{cpu}--{self.target}--{digest}.jsonl"


@dataclass(frozen=True)
class Database:
    """The file at ``path``; a file that is not there is an empty database."""

    path: Path
    origin: Origin

    def trials(self) -> list[Trial]:
        """Everything measured, oldest first.

        Lines that cannot be read are left out with one warning that names the file; a torn last line without.
        """
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return []
        except OSError as error:
            self._warn(f"cannot be read ({error.strerror}): nothing in it is used")
            return []
        lines, found, damaged = data.split(b"\n")[:-1], [], 0
        for index, line in enumerate(lines):
            try:
                values = json.loads(line)
                if index or "lowbit_tuning" not in values:
                    found.append(Trial.from_json(values))
            except (ValueError, TypeError):
                damaged += 1
        if damaged:
            self._warn(f"{damaged} of {len(lines)} lines cannot be read and are not used")
        return found

    def _warn(self, what: str) -> None:
        warnings.warn(
            f"tuning database {self.path}: {what}; `lowbit tune --clear` removes it, and tuning again makes a new one",
            stacklevel=3,
        )

    def append(self, trials: Iterable[Trial]) -> None:
        """Add lines; whoever reads sees all of them or none.  Raises OSError where the file cannot be written."""
        text = "".join(json.dumps(trial.to_json()) + "\n" for trial in trials)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)  # closing releases it
            if not _cut_torn_line(file):
                text = json.dumps({"lowbit_tuning": _FORMAT, **asdict(self.origin)}) + "\n" + text
            data = text.encode()
            while data:
                data = data[os.write(file, data) :]
        finally:
            os.close(file)


def _cut_torn_line(file: int) -> int:
    """Remove what follows the last newline; returns the size that remains."""
    size = os.fstat(file).st_size
    end = size
    while end and os.pread(file, 1, end - 1) != b"\n":
        end -= 1
    if end != size:
        os.ftruncate(file, end)
    return end


def tuning_folder() -> Path:
    return cache_folder() / "tuning"


def user_database(target: Target) -> Database:
    """Of this CPU, for ``target``, with the kernels that this lowbit generates."""
    origin = Origin(cpu_model(), target.name, generator_version()[:16])
    return Database(tuning_folder() / origin.file_name, origin)


def databases() -> list[Database]:
    """All there are, also of other CPUs and generators; fields that a file does not tell are "?"."""
    return [Database(path, _origin(path)) for path in sorted(tuning_folder().glob("*.jsonl"))]


def _origin(path: Path) -> Origin:
    try:
        with path.open("rb") as file:
            first = json.loads(file.readline())
        return Origin(str(first["cpu"]), str(first["target"]), str(first["generator"]))
    except (OSError, ValueError, KeyError, TypeError):
        return Origin("?", "?", "?")
