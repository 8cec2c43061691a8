"""A network that runs and is never saved: a trial needs its library and its weights, not the artifact around them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lowbit.backend.protocol import OpenNetwork
from lowbit.backend.table import backend_of
from lowbit.lowering import Program
from lowbit.targets import Target

__all__ = ["Opened", "open_program"]


@dataclass(frozen=True, eq=False)
class Opened:
    """``outputs`` as of lowbit's compiled networks, of arrays that fit."""

    name: str
    input_shapes: tuple[tuple[int, ...], ...]
    native: OpenNetwork

    def outputs(self, *inputs: np.ndarray) -> tuple[np.ndarray, ...]:
        return tuple(self.native.run([np.ascontiguousarray(value, np.float32) for value in inputs]))


def open_program(program: Program, target: Target, threads: int) -> Opened:
    """Compiled and linked as lowbit.compile does it.  Raises what that raises."""
    backend = backend_of(target)
    sections = backend.link(program, backend.compile(program.specs, target), target)
    native = backend.open(sections, sections["weights.bin"], threads)
    return Opened(program.name, tuple(tuple(tensor["shape"]) for tensor in native.info["inputs"]), native)
