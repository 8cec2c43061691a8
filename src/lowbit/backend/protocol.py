"""What a backend is: how kernels and programs become something that runs on one kind of machine.

``backend/table.py`` says which one makes networks for a target; ``backend/cpu.py`` is the first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np

    from lowbit.kernels.spec import KernelSpec
    from lowbit.lowering.program import Program
    from lowbit.targets import Target

__all__ = ["Backend", "FilePart", "OpenNetwork"]


@dataclass(frozen=True)
class FilePart:
    """``size`` bytes from ``offset`` on of an open file, given by its descriptor."""

    file: int
    offset: int
    size: int


class OpenNetwork(Protocol):
    """A network that runs.  Any number of threads may call it at a time.

    ``info``: what its code says of itself (backend/driver.py, ``info_text``), with at least "inputs", "outputs" and
    "operations"."""

    info: dict[str, Any]
    threads: int

    @property
    def closed(self) -> bool: ...

    def run(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Contiguous float32 arrays of the network's shapes -> new arrays.  Raises LowbitError: closed, out of memory."""
        ...

    def profile(self, inputs: Sequence[np.ndarray]) -> np.ndarray:
        """Nanoseconds of each operation in one run, int64."""
        ...

    def close(self) -> None: ...


class Backend(Protocol):
    """Objects without state; every method is a function of its arguments and of the tools that are installed."""

    def tools(self, target: Target) -> dict[str, str]:
        """What compiling for ``target`` needs, name -> version, for the manifest.  Raises ToolMissing with the line that
        installs what is not here."""
        ...

    def obstacle(self, target: Target) -> str:
        """Why this machine cannot run code for ``target``: the end of a sentence that begins with its name, "" = it can."""
        ...

    def compile(
        self, specs: Iterable[KernelSpec], target: Target, progress: Callable[[KernelSpec, bool], None] | None = None
    ) -> dict[KernelSpec, bytes]:
        """An object for every distinct spec, in order of first appearance.  ``progress(spec, cached)``: once a spec."""
        ...

    def link(self, program: Program, kernels: Mapping[KernelSpec, bytes], target: Target) -> dict[str, bytes]:
        """The sections of an artifact that are code or belong to it.  Always "library.so", which holds the symbol of every
        kernel, ``info_text`` and ``identity`` of backend/driver.py, whatever else it is; and "weights.bin", which
        backend/weight_file.py writes.  Raises ToolMissing, LowbitError with the words of the tool that failed."""
        ...

    def open(
        self, sections: Mapping[str, bytes | memoryview], weights: bytes | FilePart, threads: int | None, **chosen: Any
    ) -> OpenNetwork:
        """What :meth:`link` made, running.  ``weights``: the section weights.bin, or where it lies in a file.
        ``threads`` None: as many as there are.  ``chosen``: ``device``, the number of a GPU, where somebody chose one.

        Raises ArtifactError for sections that do not belong together or are damaged."""
        ...
