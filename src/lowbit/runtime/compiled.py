"""A compiled network: call it, save it, look inside."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lowbit.errors import ArtifactError, InputError
from lowbit.runtime.artifact import Artifact, read_artifact, write_artifact
from lowbit.runtime.native import FilePart, NativeNetwork
from lowbit.targets.host import host_features, host_machine

if TYPE_CHECKING:
    from lowbit.graph import Graph
    from lowbit.runtime.profile import Profile

__all__ = ["Compiled", "load"]


class Compiled:
    """What ``lowbit.compile`` returns and ``lowbit.load`` reads.

    ``net(*inputs)`` takes float32 tensors or arrays of ``input_shapes`` and returns one tensor or array,
    or a tuple where the network has several outputs: torch tensors if any input was one, else numpy
    arrays.  Thread-safe; runs do not hold Python's lock.  ``seconds``: time that each step of compiling
    took; not saved, so that the same network always gives the same file.

    A network for another architecture, or for instructions that this CPU lacks, can be read, saved and
    exported; running it raises ArtifactError.
    """

    def __init__(
        self, manifest: Mapping[str, Any], sections: Mapping[str, bytes | memoryview], threads: int | None = None
    ) -> None:
        self.manifest: dict[str, Any] = dict(manifest)
        self.seconds: dict[str, float] = {}
        self._sections = sections
        self._obstacle = _obstacle(self.manifest["target"])
        runs_here = not self._obstacle
        self._native = NativeNetwork(self.section("library.so"), self._weights(), threads) if runs_here else None

    @property
    def _network(self) -> NativeNetwork:
        if self._native is None:
            raise ArtifactError(f"{self.name} was compiled for {self.manifest['target']['name']}{self._obstacle}")
        return self._native

    def _weights(self) -> bytes | FilePart:
        """Weights that lie in a file are unpacked from there, so that they are in memory once."""
        self._check_section("weights.bin")
        if not isinstance(self._sections, Artifact):
            return bytes(self._sections["weights.bin"])
        place = self._sections.place("weights.bin")
        return FilePart(self._sections.file, place.offset, place.stored)

    def __repr__(self) -> str:
        shapes = ", ".join("x".join(map(str, shape)) for shape in self.input_shapes)
        threads = f"{self.threads} threads" if self._native else "runs elsewhere"
        return f"<lowbit network {self.name} for {self.manifest['target']['name']}, input {shapes}, {threads}>"

    @property
    def name(self) -> str:
        return self.manifest["name"]

    @property
    def input_shapes(self) -> tuple[tuple[int, ...], ...]:
        return tuple(tuple(tensor["shape"]) for tensor in self.manifest["inputs"])

    @property
    def output_shapes(self) -> tuple[tuple[int, ...], ...]:
        return tuple(tuple(tensor["shape"]) for tensor in self.manifest["outputs"])

    @property
    def threads(self) -> int:
        """Threads that work on one call.  Assign a number, or None for one per CPU."""
        return self._network.threads

    @threads.setter
    def threads(self, count: int | None) -> None:
        self._network.threads = count  # type: ignore[assignment]

    def _arrays(self, inputs: tuple[Any, ...]) -> tuple[list[np.ndarray], bool]:
        """Checked contiguous arrays, and whether any input was a torch tensor."""
        expected = self._network.info["inputs"]
        if len(inputs) != len(expected):
            raise InputError(f"{self.name} takes {len(expected)} inputs, {len(inputs)} given")
        torch: Any = sys.modules.get("torch")  # a tensor can only come from a torch that is loaded
        arrays, any_tensor = [], False
        for i, (given, want) in enumerate(zip(inputs, expected, strict=True)):
            shape, where = tuple(want["shape"]), f"{self.name}, input {i} ({want['name']})"
            tensor = torch is not None and isinstance(given, torch.Tensor)
            if not tensor and not isinstance(given, np.ndarray):
                raise InputError(f"{where}: expected a torch tensor or numpy array, got {type(given).__name__}")
            dtype = str(given.dtype).removeprefix("torch.")
            if dtype != "float32":
                cast = "x.float()" if tensor else "x.astype(numpy.float32)"
                raise InputError(f"{where}: expected float32, got {dtype}; cast it first: {cast}")
            if tuple(given.shape) != shape:
                raise InputError(f"{where}: expected shape {shape}, got {tuple(given.shape)}; shapes are fixed")
            if tensor and (given.device.type != "cpu" or given.layout != torch.strided):
                raise InputError(f"{where}: expected a dense tensor on the CPU, got {given.layout} on {given.device}")
            any_tensor |= tensor
            arrays.append(np.ascontiguousarray(given.numpy(force=True) if tensor else given))
        return arrays, any_tensor

    def __call__(self, *inputs: Any) -> Any:
        """Raises InputError naming what was expected and what was given."""
        arrays, any_tensor = self._arrays(inputs)
        outputs: list[Any] = self._network.run(arrays)
        if any_tensor:
            outputs = [sys.modules["torch"].from_numpy(a) for a in outputs]
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    def profile(self, *inputs: Any, runs: int = 20, peaks: bool = True) -> Profile:
        """Median time of every operation, and what of the machine's measured peaks it uses (docs/profile.md).

        A sequence of ProfiledOperation.  ``peaks`` False: times and bytes only, which needs numpy alone.
        Raises InputError, ConfigError for runs < 1.
        """
        from lowbit.runtime.profile import take_profile

        return take_profile(self, self._arrays(inputs)[0], runs, peaks=peaks)

    @property
    def sections(self) -> tuple[str, ...]:
        """Names of what the artifact holds."""
        return tuple(self._sections)

    def section(self, name: str) -> bytes:
        """Bytes of one section.  Raises ArtifactError listing the names."""
        self._check_section(name)
        return bytes(self._sections[name])

    def _check_section(self, name: str) -> None:
        if name not in self._sections:
            raise ArtifactError(f"the artifact has no section {name!r}; it has {', '.join(self._sections)}")

    def graph(self) -> Graph:
        """The integer graph this network computes, for the oracle and for reading."""
        from lowbit.runtime.graph_store import decode_graph

        self.section("graph.json")
        return decode_graph(self._sections)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the artifact; :func:`load` reads it.  Raises ArtifactError where it cannot be written."""
        return write_artifact(Path(path), self.manifest, {k: v for k, v in self._sections.items() if k != "manifest.json"})

    def export_library(self, folder: str | os.PathLike[str]) -> Path:
        """Write the shared library, its header, the weight file and an example program into ``folder``."""
        from lowbit.runtime.export import export_library

        return export_library(self, Path(folder))

    def close(self) -> None:
        """Free the weights and stop the threads now; later calls raise LowbitError."""
        if self._native is not None:
            self._native.close()


def _obstacle(target: Mapping[str, Any]) -> str:
    """What follows "compiled for X" where the target's code cannot run here; "" where it can."""
    if not target["triple"].startswith(f"{host_machine()}-"):
        return (
            f", which is no {host_machine()} machine: `lowbit emulate` runs it here, "
            f"`lowbit export --executable` makes a program for {target['name']}"
        )
    missing = sorted(set(target["features"]) - host_features())
    return f"; this CPU lacks {', '.join(missing)}" if missing else ""


def load(path: str | os.PathLike[str], threads: int | None = None) -> Compiled:
    """Open an artifact.  Needs numpy alone.

    ``threads``: None = one per CPU.  Raises ArtifactError: not an artifact, damaged, of a newer format, or made
    for CPU features this machine lacks.  One for another architecture opens, but does not run here.
    """
    artifact = read_artifact(Path(path))
    try:
        return Compiled(artifact.manifest, artifact, threads)
    except ArtifactError as error:
        raise ArtifactError(f"{path}: {error}") from None
