"""A compiled network: call it, save it, look inside."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lowbit.backend.native import thread_count
from lowbit.backend.protocol import FilePart, OpenNetwork
from lowbit.backend.table import backend_of, obstacle
from lowbit.errors import ArtifactError, ConfigError, InputError, LowbitError
from lowbit.files import as_path
from lowbit.graph.structure import Structure, read_structure
from lowbit.runtime.artifact import Artifact, data_digest, pack_artifact, read_artifact, write_artifact
from lowbit.runtime.on_device import is_on_gpu, run_on_gpu
from lowbit.runtime.schema import MANIFEST
from lowbit.targets import Target

if TYPE_CHECKING:
    from lowbit.graph import Graph
    from lowbit.kernels.spec import KernelSpec
    from lowbit.lowering import Program
    from lowbit.profile.result import Profile

__all__ = ["Compiled", "load"]


class Compiled:
    """What ``lowbit.compile`` returns and ``lowbit.load`` reads.

    ``net(*inputs)`` takes float32 tensors or arrays of ``input_shapes`` and returns one tensor or array,
    or a tuple where the network has several outputs: torch tensors if any input was one, else numpy
    arrays.  Of a network for GPUs, tensors in the GPU's memory give tensors there, queued on torch's current stream.
    Dicts, dataclasses, named and nested tuples and None come back as the model returned them; from a file, which names
    no classes to import, a dataclass is a dict.  :meth:`outputs` is always a tuple.  Thread-safe; runs do not hold Python's lock.
    ``seconds``: time that each step of compiling took; not saved, so that the same network always gives the same file.
    ``target``: what it was compiled for.

    A network for another architecture, or for instructions that this CPU lacks, can be read, saved and
    exported; running it raises ArtifactError.
    """

    def __init__(
        self,
        manifest: Mapping[str, Any],
        sections: Mapping[str, bytes | memoryview],
        threads: int | None = None,
        device: int | None = None,
    ) -> None:
        MANIFEST(manifest, "manifest.json")
        self.manifest: dict[str, Any] = dict(manifest)
        self.seconds: dict[str, float] = {}
        self.structure = _structure_of(self.manifest)
        self._sections = sections
        self.target = Target.from_json(self.manifest["target"])
        _check_device(device, self.target)
        self._obstacle = obstacle(self.target)
        self._native: OpenNetwork | None = None
        if not self._obstacle:
            self._check_section("library.so")
            chosen = {} if device is None else {"device": device}
            self._native = backend_of(self.target).open(self._sections, self._weights(), threads, **chosen)
        if self._native is not None:
            _check_belongs(self.manifest, self._native.info)

    @property
    def _network(self) -> OpenNetwork:
        if self._native is None:
            emulated = f"; `lowbit emulate` runs it here, `lowbit export --executable` makes a program for {self.target.name}"
            raise ArtifactError(
                f"{self.name} was compiled for {self.target.name}{self._obstacle}{emulated if self.target.qemu_cpu else ''}"
            )
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
        threads = "runs elsewhere" if self._native is None else "closed" if self._native.closed else f"{self.threads} threads"
        return f"<lowbit network {self.name} for {self.target.name}, input {shapes}, {threads}>"

    @property
    def name(self) -> str:
        return self.manifest["name"]

    @property
    def digest(self) -> str:
        """BLAKE2b-256, in hexadecimal digits, of the file this was loaded from or that :meth:`save` writes: what
        ``b2sum -l 256 NAME.lowbit`` prints and ``lowbit.load(expect=...)`` takes."""
        if isinstance(self._sections, Artifact):
            return self._sections.digest()
        return data_digest(pack_artifact(self.manifest, self._without_manifest()))

    def _without_manifest(self) -> dict[str, bytes | memoryview]:
        return {name: data for name, data in self._sections.items() if name != "manifest.json"}

    @cached_property
    def layers(self) -> list[dict[str, Any]]:
        """The manifest's layers.

        Raises ArtifactError unless the library has the kernel of each, and the layer's spec is that kernel's."""
        from hashlib import sha256

        texts = frozenset(self.section("library.so").split(b"\0"))
        for layer in self.manifest["layers"]:
            try:
                digest = sha256(json.dumps(layer["spec"], sort_keys=True).encode()).hexdigest()
            except RecursionError:
                digest = ""
            if not layer["kernel"].endswith(f"__{digest[:8]}") or layer["kernel"].encode() not in texts:
                raise ArtifactError(f"{layer['name']}: kernel {layer['kernel']} is not in the library, or not of this spec")
        return list(self.manifest["layers"])

    @cached_property
    def specs(self) -> tuple[KernelSpec, ...]:
        """The kernel of each of :attr:`layers`.  Raises ArtifactError where another version of lowbit made them."""
        from lowbit.kernels.spec import spec_from_json

        specs = []
        for layer in self.layers:
            try:
                specs.append(spec_from_json(layer["spec"]))
                if specs[-1].symbol(self.target.name) != layer["kernel"]:
                    raise ValueError("it would have another name")
            except Exception as error:  # whatever a spec of another version makes its class do
                raise ArtifactError(f"{layer['name']}: this lowbit does not know its kernel ({error!r}); compile again") from None
        return tuple(specs)

    @property
    def input_shapes(self) -> tuple[tuple[int, ...], ...]:
        return tuple(tuple(tensor["shape"]) for tensor in self.manifest["inputs"])

    @property
    def output_shapes(self) -> tuple[tuple[int, ...], ...]:
        return tuple(tuple(tensor["shape"]) for tensor in self.manifest["outputs"])

    @property
    def output_types(self) -> tuple[str, ...]:
        """``float32``, or ``int64`` for positions (argmax)."""
        return tuple(tensor["dtype"] for tensor in self.manifest["outputs"])

    @property
    def noise(self) -> dict[str, Any] | None:
        """Signal-to-noise ratios of the layers in dB, measured on calibration samples when this was compiled: ``rows``,
        ``outputs`` (name -> dB), ``layers`` (name, op, sqnr_db, own_db, causes: see lowbit.measure.noise).  None where there
        were no samples, or nothing was rounded."""
        return self.manifest.get("noise")

    @property
    def float_error(self) -> dict[str, float]:
        """Of each float32 layer that multiplies as ``compile(float=...)`` asked for: R with
        |error| <= R (sum |x w| + |bias| + |residual|) of its results, but for overflow and what denormal numbers lose (see
        :func:`compile`).  Layers that are not here multiply in float32."""
        return {layer["name"]: layer["relative_error"] for layer in self.manifest["layers"] if "relative_error" in layer}

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
        outputs = self.outputs(*inputs)
        if self.structure is not None:
            return self.structure.of(outputs)
        return outputs[0] if len(outputs) == 1 else outputs

    def outputs(self, *inputs: Any) -> tuple[Any, ...]:
        """What a call gives, as a tuple of all outputs in the order of :attr:`output_shapes`, however they hang together."""
        if any(map(is_on_gpu, inputs)):
            return run_on_gpu(self.name, self._network, self.manifest, inputs)
        arrays, any_tensor = self._arrays(inputs)
        outputs: list[Any] = self._network.run(arrays)
        return tuple(sys.modules["torch"].from_numpy(a) for a in outputs) if any_tensor else tuple(outputs)

    def profile(self, *inputs: Any, runs: int = 20, peaks: bool = True) -> Profile:
        """Median time of every operation, and what of the machine's measured peaks it uses (docs/profile.md).

        A sequence of ProfiledOperation.  ``peaks`` False: times and bytes only, which needs numpy alone.
        Raises InputError, ConfigError for runs < 1.
        """
        from lowbit.profile.take import take_profile

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
        if not isinstance(name, str) or name not in self._sections:
            raise ArtifactError(f"the artifact has no section {name!r}; it has {', '.join(self._sections)}")

    def graph(self) -> Graph:
        """The integer graph this network computes, for the oracle and for reading.  Raises ArtifactError for sections that
        hold none, or one that graph/verify.py refuses."""
        from lowbit.graph.verify import verify
        from lowbit.runtime.graph_store import decode_graph

        graph = decode_graph({name: self.section(name) for name in ("graph.json", "constants.bin", "weights.bin")})
        try:
            verify(graph)
        except Exception as error:  # its rules of shapes and types meet what no compiler of ours wrote
            why = error if isinstance(error, LowbitError) else repr(error)
            raise ArtifactError(f"graph.json holds no valid graph: {why}") from None
        for kind, names in (("inputs", graph.inputs), ("outputs", graph.outputs)):
            if [list(graph.types[name].shape) for name in names] != [tensor["shape"] for tensor in self.manifest[kind]]:
                raise ArtifactError(f"{self.name}: graph.json has other {kind} than manifest.json")
        return graph

    def program(self) -> Program:
        """The kernel calls this network consists of, as they were compiled: what export, emulation and reports work on.

        Raises ArtifactError for sections that hold none or another one than the library, or kernels of another version
        of lowbit."""
        from lowbit.runtime.program_store import decode_program

        return decode_program(self.section, self.manifest, self.specs, self.target)

    def text(self, name: str) -> str:
        """One section as text.  Raises ArtifactError."""
        try:
            return self.section(name).decode()
        except UnicodeDecodeError as error:
            raise ArtifactError(f"section {name} is not text: {error}") from None

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the artifact; :func:`load` reads it.  Raises ArtifactError where it cannot be written."""
        return write_artifact(as_path(path, "path"), self.manifest, self._without_manifest())

    def export_library(self, folder: str | os.PathLike[str]) -> Path:
        """Write the shared library, its header, the weight file and an example program into ``folder``."""
        from lowbit.export.library import export_library

        return export_library(self, as_path(folder, "folder"))

    def export_onnx(self, path: str | os.PathLike[str]) -> Path:
        """Write the network as an ONNX model: integers of the narrowest ONNX types between QuantizeLinear and DequantizeLinear.

        Raises UnsupportedOperation for an operation without a form in ONNX, ToolMissing without the package onnx."""
        from lowbit.export.onnx.writer import export_onnx

        return export_onnx(self.graph(), path)

    def close(self) -> None:
        """Free the weights and stop the threads now; later calls raise LowbitError."""
        if self._native is not None:
            self._native.close()


def _check_device(device: object, target: Target) -> None:
    """Raises ConfigError for what is no number of a GPU, or a network of a CPU."""
    if device is None:
        return
    if isinstance(device, bool) or not isinstance(device, int) or device < 0:
        raise ConfigError(f"device is the number of a GPU, 0, 1, ..., or None; got {device!r}")
    if not target.arch:
        raise ConfigError(f"device={device} is a GPU's, and the network is for {target.name}; compile it for one of cuda-*")


def _structure_of(manifest: Mapping[str, Any]) -> Structure | None:
    if "structure" not in manifest:
        return None
    try:
        return read_structure(manifest["structure"], len(manifest["outputs"]))
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"manifest.json: structure of the outputs: {error}") from None


def _check_belongs(manifest: Mapping[str, Any], info: Mapping[str, Any]) -> None:
    """Raise ArtifactError unless the manifest is of the network that the library says it is."""
    for kind in ("inputs", "outputs"):
        if manifest[kind] != info[kind]:
            raise ArtifactError(f"manifest.json does not belong to the library: other {kind}")
    kernels = [(layer["name"], layer["kernel"], layer["macs"]) for layer in manifest["layers"]]
    if kernels != [(o["layer"], o["kernel"], o["macs"]) for o in info["operations"]]:
        raise ArtifactError("manifest.json does not belong to the library: other layers")


def load(
    path: str | os.PathLike[str], threads: int | None = None, *, expect: str | None = None, device: int | None = None
) -> Compiled:
    """Open an artifact.  Needs numpy alone.  An artifact holds machine code: load those you trust (docs/security.md).

    ``threads``: None = one per CPU.  ``expect``: the BLAKE2b-256 of the whole file (:attr:`Compiled.digest`), compared
    before anything in it is used.  ``device``: of a network for GPUs the number of the one it is to run on; None = 0.
    Raises ArtifactError: not an artifact, damaged, of another format, not the one
    expected, or made for CPU features this machine lacks; ConfigError: ``path``, ``threads`` or ``expect`` is none.  One
    for another architecture opens, but does not run here.
    """
    path = as_path(path, "path")
    thread_count(threads)
    artifact = read_artifact(path, _expected(expect))
    try:
        return Compiled(artifact.manifest, artifact, threads, device)
    except ArtifactError as error:
        raise ArtifactError(f"{path}: {error}") from None


def _expected(digest: str | None) -> str | None:
    if digest is None:
        return None
    if not isinstance(digest, str) or not re.fullmatch(r"[0-9a-fA-F]{64}", digest.strip()):
        raise ConfigError(f"expect is a BLAKE2b-256 of 64 hexadecimal digits, as `b2sum -l 256 FILE` prints it, not {digest!r}")
    return digest.strip().lower()
