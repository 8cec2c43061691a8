"""A network's shared library, loaded from memory and called through ctypes."""

from __future__ import annotations

import ctypes
import itertools
import json
import os
import platform
import struct
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lowbit.backend.protocol import FilePart
from lowbit.errors import ArtifactError, ConfigError, LowbitError
from lowbit.files import scratch_folder

__all__ = ["NativeNetwork", "thread_count"]

_MACHINES = {3: "i686", 40: "armv7l", 62: "x86_64", 183: "aarch64", 243: "riscv64"}  # ELF e_machine
_loads = itertools.count(1)


def _check_machine(library: bytes) -> None:
    """Raise ArtifactError unless ``library`` is an ELF file for this machine."""
    if len(library) < 64 or library[:6] != b"\x7fELF\x02\x01":
        raise ArtifactError("the network's library is not a 64-bit little-endian ELF file")
    (code,) = struct.unpack_from("<H", library, 18)
    made_for, here = _MACHINES.get(code, f"machine {code}"), platform.machine()
    if made_for != here:
        raise ArtifactError(f"the network was compiled for {made_for}; this machine is {here}")


def _dlopen(library: bytes) -> ctypes.CDLL:
    """Load from an anonymous file.

    The loader takes a library it has seen under the same name for the same library, and file descriptors
    are reused; so every load spells the path in its own way, with "." and "" steps for the bits of a counter.
    """
    try:
        file = os.memfd_create("lowbit-network", os.MFD_CLOEXEC)
    except (AttributeError, OSError):  # no memfd: old kernel, or a sandbox that forbids it
        return _dlopen_file(library)
    try:
        with os.fdopen(os.dup(file), "wb") as writer:
            writer.write(library)
        steps = "".join("./" if bit == "0" else "/" for bit in f"{next(_loads):b}")
        return ctypes.CDLL(f"/proc/self/fd/{steps}{file}", mode=os.RTLD_LOCAL | os.RTLD_NOW)
    except OSError as error:
        raise ArtifactError(f"the network's library cannot be loaded: {error}") from None
    finally:
        os.close(file)


def _dlopen_file(library: bytes) -> ctypes.CDLL:
    with scratch_folder() as folder:
        file = folder / "library.so"
        file.write_bytes(library)
        try:
            return ctypes.CDLL(str(file), mode=os.RTLD_LOCAL | os.RTLD_NOW)
        except OSError as error:
            raise ArtifactError(f"the network's library cannot be loaded: {error}") from None


def _release(close: Callable[[int], None], network: int, library: int) -> None:
    import _ctypes

    close(network)
    _ctypes.dlclose(library)


class NativeNetwork:
    """An open network.  Any number of threads may call :meth:`run` at a time; a forked child may, too.

    ``library``: the ELF file; ``weights``: the weight file (any buffer, or a part of a file; only read here).
    ``threads``: None = one for each CPU of this process.  Raises ArtifactError: another machine, a missing CPU
    feature, weights that do not belong to the library or are damaged; ConfigError for threads < 1.
    """

    def __init__(self, library: bytes | memoryview, weights: bytes | memoryview | FilePart, threads: int | None = None) -> None:
        library = bytes(library)
        _check_machine(library)
        self._lib = _dlopen(library)
        try:
            self.prefix = ctypes.c_char_p(ctypes.addressof(ctypes.c_char.in_dll(self._lib, "lowbit_prefix"))).value.decode()  # type: ignore[union-attr]
            self._bind()
        except (ValueError, AttributeError) as error:
            raise ArtifactError(f"the network's library lacks a function: {error}") from None
        self.info: dict[str, Any] = json.loads(self._info())
        self.input_shapes = tuple(tuple(t["shape"]) for t in self.info["inputs"])
        self.output_shapes = tuple(tuple(t["shape"]) for t in self.info["outputs"])
        self._output_types = tuple(np.dtype(t["dtype"]) for t in self.info["outputs"])
        if isinstance(weights, FilePart):
            network = self._open_part(weights.file, weights.offset, weights.size, thread_count(threads))
        else:
            data = np.frombuffer(weights, np.uint8)
            network = self._open(data.ctypes.data, data.size, thread_count(threads))
        if not network:
            raise ArtifactError(self._error().decode(errors="replace"))
        self._network: int = network
        self._unlock()
        _alive.add(self)
        self._finalizer = weakref.finalize(self, _release, self._close, network, self._lib._handle)
        self._finalizer.atexit = False  # daemon threads may still be running networks; the system frees the rest

    def _unlock(self) -> None:
        """Nobody is in a call: at the start, and in a forked child, where other threads have vanished."""
        self._running = 0
        self._changed = threading.Condition()

    def _bind(self) -> None:
        p, i, pointer = self.prefix, ctypes.c_int, ctypes.c_void_p

        def function(name: str, result: Any, *arguments: Any) -> Any:
            found = getattr(self._lib, f"{p}_{name}")
            found.restype, found.argtypes = result, arguments
            return found

        self._open = function("open_memory", pointer, pointer, ctypes.c_size_t, i)
        self._open_part = function("open_part", pointer, i, ctypes.c_uint64, ctypes.c_uint64, i)
        self._run = function("run", i, pointer, pointer, pointer)
        self._profile = function("profile", i, pointer, pointer, pointer, pointer)
        self._set_threads = function("set_threads", i, pointer, i)
        self._threads = function("threads", i, pointer)
        self._close = function("close", None, pointer)
        self._error = function("error", ctypes.c_char_p)
        self._info = function("info", ctypes.c_char_p)

    def _call(self, function: Callable[..., int], *arguments: Any) -> int:
        """Call with the open network; keeps :meth:`close` waiting meanwhile."""
        with self._changed:
            if not self._network:
                raise LowbitError(f"the network {self.info['name']} is closed")
            self._running += 1
        try:
            result = function(self._network, *arguments)
            if result < 0:
                raise LowbitError(self._error().decode(errors="replace"))
            return result
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    def _execute(self, inputs: Sequence[np.ndarray], function: Callable[..., int], *more: Any) -> list[np.ndarray]:
        outputs = [np.empty(shape, dtype) for shape, dtype in zip(self.output_shapes, self._output_types, strict=True)]
        sources = (ctypes.c_void_p * max(len(inputs), 1))(*(a.ctypes.data for a in inputs))
        targets = (ctypes.c_void_p * max(len(outputs), 1))(*(a.ctypes.data for a in outputs))
        self._call(function, sources, targets, *more)
        return outputs

    def run(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Contiguous float32 arrays of ``input_shapes`` -> new arrays of ``output_shapes``, float32 or (positions) int64.

        The arrays are not checked here (Compiled does).  Raises LowbitError: closed, out of memory.
        """
        return self._execute(inputs, self._run)

    def profile(self, inputs: Sequence[np.ndarray]) -> np.ndarray:
        """Nanoseconds of each operation in one run, int64, in the order of ``info["operations"]``."""
        ns = np.zeros(len(self.info["operations"]), np.uint64)
        self._execute(inputs, self._profile, ns.ctypes.data)
        return ns.astype(np.int64)

    @property
    def threads(self) -> int:
        """Threads that work on one run, the caller included."""
        return self._call(self._threads)

    @threads.setter
    def threads(self, count: int | None) -> None:
        self._call(self._set_threads, thread_count(count))

    @property
    def closed(self) -> bool:
        return not self._network

    def close(self) -> None:
        """Wait for runs in progress and free everything; later calls raise LowbitError."""
        with self._changed:
            self._changed.wait_for(lambda: self._running == 0)
            self._network = 0
            self._finalizer()


def thread_count(threads: int | None) -> int:
    """What the C function takes, where 0 = one a CPU."""
    if threads is None:
        return 0
    if isinstance(threads, bool) or not isinstance(threads, int) or not 1 <= threads <= 1024:
        raise ConfigError(f"threads must be a whole number from 1 to 1024, or None for one per CPU; got {threads!r}")
    return threads


def _forked() -> None:
    for network in _alive:
        network._unlock()


_alive: weakref.WeakSet[NativeNetwork] = weakref.WeakSet()
os.register_at_fork(after_in_child=_forked)
