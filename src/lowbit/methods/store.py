"""Unfinished work on disk: what a method found so far, keyed by everything that it depends on."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import BadZipFile

import numpy as np

from lowbit.errors import LowbitError
from lowbit.files import write_whole
from lowbit.graph.fingerprint import fingerprint
from lowbit.methods.task import Method, Task
from lowbit.quantization import Choice
from lowbit.quantization.choice_store import choice_from_dict, choice_to_dict

__all__ = ["Store", "digest_of", "store_in", "unfinished"]

_KEPT = 16
"""Folders of the latest work; older ones are removed when a new one is begun."""


@dataclass(frozen=True)
class Store:
    """One file for each unit of work, written whole; None: nothing is kept."""

    folder: Path | None

    def get(self, unit: str) -> Choice | None:
        """The numbers that a unit of work gave; None where it is not done, or its file is damaged."""
        if self.folder is None:
            return None
        with suppress(OSError, ValueError, KeyError, EOFError, BadZipFile, LowbitError):
            with np.load(self._path(unit), allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            return choice_from_dict(json.loads(bytes(arrays.pop("structure")).decode()), arrays)
        return None

    def keep(self, unit: str, found: Choice) -> None:
        if self.folder is None:
            return
        structure, arrays = choice_to_dict(found)
        file = io.BytesIO()
        np.savez(file, allow_pickle=False, structure=np.frombuffer(json.dumps(structure).encode(), np.uint8), **arrays)
        self._write(unit, file.getbuffer())

    def state(self, unit: str) -> Any:
        """Plain values and tensors that were kept in the middle of a unit of work; None where there are none."""
        import torch

        if self.folder is None:
            return None
        with suppress(OSError, ValueError, KeyError, EOFError, RuntimeError, UnpicklingError):
            return torch.load(self._path(unit), weights_only=True)
        return None

    def keep_state(self, unit: str, state: Any) -> None:
        import torch

        if self.folder is None:
            return
        file = io.BytesIO()
        torch.save(state, file)
        self._write(unit, file.getbuffer())

    def _write(self, unit: str, content: memoryview) -> None:
        """Into the folder, which is made again where somebody took it for old work meanwhile."""
        path = self._path(unit)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)

    def _path(self, unit: str) -> Path:
        assert self.folder is not None
        return self.folder / f"{hashlib.blake2b(unit.encode(), digest_size=8).hexdigest()}.npz"


def digest_of(arrays: Sequence[np.ndarray]) -> str:
    """BLAKE2b-128 of arrays, shapes and types included."""
    digest = hashlib.blake2b(digest_size=16)
    for value in arrays:
        digest.update(f"{value.dtype.str} {value.shape}".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()


def unfinished(task: Task, method: Method) -> Store:
    """The store of this method on this task: of the same graph, numbers, rows, hyper-parameters and seconds."""
    return store_in(task.state, task, method, _KEPT)


def store_in(where: Path | None, task: Task, method: Any, kept: int) -> Store:
    """A folder of ``where`` that belongs to this method, or several, on this task; the ``kept`` latest ones stay."""
    if where is None:
        return Store(None)
    structure, arrays = choice_to_dict(task.choice)
    parts = [fingerprint(task.graph), json.dumps(structure, sort_keys=True), digest_of([arrays[name] for name in sorted(arrays)])]
    parts += [fingerprint(task.targets), digest_of(task.fit), repr(method), repr(task.config), repr(task.seconds)]
    folder = where / hashlib.blake2b("\n".join(parts).encode(), digest_size=16).hexdigest()
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        others = sorted((path for path in where.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime)
        for old in others[:-kept]:
            shutil.rmtree(old, ignore_errors=True)
    return Store(folder if folder.is_dir() else None)
