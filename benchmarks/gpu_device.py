"""The GPU's memory, streams, events and kernels through NVIDIA's driver, by ctypes: what trying kernels one by one needs."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from lowbit.backend.cuda.object import CudaObject
from lowbit.kernels.abi import ARGUMENTS
from lowbit.targets.gpu import driver_name

__all__ = ["Device", "DriverError"]

_SPARE = 256  # readable bytes behind every buffer
_MAJOR, _MINOR = 75, 76  # attributes of a device


class DriverError(RuntimeError):
    """A function of the driver that failed."""


class Device:
    """GPU ``number``, its primary context current in this thread; of several the one that was made last, or that is entered."""

    def __init__(self, number: int = 0) -> None:
        self.cuda = ctypes.CDLL(driver_name())
        self.call("cuInit", 0)
        context, major, minor = ctypes.c_void_p(), ctypes.c_int(), ctypes.c_int()
        self.call("cuDevicePrimaryCtxRetain", ctypes.byref(context), number)
        self.call("cuCtxPushCurrent_v2", context)
        self.call("cuDeviceGetAttribute", ctypes.byref(major), _MAJOR, number)
        self.call("cuDeviceGetAttribute", ctypes.byref(minor), _MINOR, number)
        self.capability, self.context = (major.value, minor.value), context

    def __enter__(self) -> Device:
        self.call("cuCtxPushCurrent_v2", self.context)
        return self

    def __exit__(self, *_: object) -> None:
        self.call("cuCtxPopCurrent_v2", ctypes.byref(ctypes.c_void_p()))

    def call(self, name: str, *arguments: Any) -> None:
        result = getattr(self.cuda, name)(*arguments)
        if result:
            text = ctypes.c_char_p()
            self.cuda.cuGetErrorString(result, ctypes.byref(text))
            raise DriverError(f"{name}: {(text.value or b'').decode()} ({result})")

    def allocate(self, nbytes: int) -> int:
        address = ctypes.c_uint64()
        self.call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(nbytes))
        return address.value

    def free(self, address: int) -> None:
        self.call("cuMemFree_v2", ctypes.c_uint64(address))

    def put(self, array: np.ndarray) -> int:
        """A copy in the GPU's memory."""
        behind = np.full(_SPARE, 0xFF, np.uint8)  # NaN, where it is taken for floats
        held = np.concatenate([np.ascontiguousarray(array).reshape(-1).view(np.uint8), behind])
        address = self.allocate(held.nbytes)
        size, source = ctypes.c_size_t(held.nbytes), ctypes.c_void_p(held.ctypes.data)
        self.call("cuMemcpyHtoDAsync_v2", ctypes.c_uint64(address), source, size, None)
        self.wait()
        return address

    def take(self, address: int, like: np.ndarray) -> np.ndarray:
        """What lies there, in an array like ``like``."""
        found = np.empty_like(like)
        size, to = ctypes.c_size_t(found.nbytes), ctypes.c_void_p(found.ctypes.data)
        self.call("cuMemcpyDtoHAsync_v2", to, ctypes.c_uint64(address), size, None)
        self.wait()
        return found

    def wait(self, stream: int = 0) -> None:
        self.call("cuStreamSynchronize", ctypes.c_void_p(stream))

    def stream(self) -> int:
        made = ctypes.c_void_p()
        self.call("cuStreamCreate", ctypes.byref(made), 1)
        return made.value or 0

    def event(self) -> ctypes.c_void_p:
        made = ctypes.c_void_p()
        self.call("cuEventCreate", ctypes.byref(made), 0)
        return made

    def forget(self, event: ctypes.c_void_p) -> None:
        self.call("cuEventDestroy_v2", event)

    def record(self, event: ctypes.c_void_p, stream: int) -> None:
        self.call("cuEventRecord", event, ctypes.c_void_p(stream))

    def milliseconds(self, first: ctypes.c_void_p, last: ctypes.c_void_p) -> float:
        """Between two events; waits for the second."""
        found = ctypes.c_float()
        self.call("cuEventSynchronize", last)
        self.call("cuEventElapsedTime", ctypes.byref(found), first, last)
        return found.value

    def run(self, kernel: CudaObject, memory: dict[str, np.ndarray], units: int) -> np.ndarray:
        """One launch on copies of ``memory``; returns ``o`` afterwards."""
        module, function = ctypes.c_void_p(), ctypes.c_void_p()
        major, minor = divmod(int(kernel.arch.removeprefix("sm_")), 10)
        native = self.capability[0] == major and self.capability[1] >= minor  # else the driver compiles the PTX
        said = kernel.ptx + b"\0" + kernel.text.encode() + b"\0"
        image = ctypes.create_string_buffer((kernel.cubin if native else b"") + said)
        self.call("cuModuleLoadDataEx", ctypes.byref(module), image, 0, None, None)
        self.call("cuModuleGetFunction", ctypes.byref(function), module, kernel.symbol.encode())
        grid, launch = kernel.launch.blocks(units), kernel.launch
        if launch.shared_bytes > 48 << 10:
            self.call("cuFuncSetAttribute", function, 8, launch.shared_bytes)
        held = {name: self.put(array) for name, array in memory.items()}
        values: list[Any] = [ctypes.c_uint64(held.get(name, 0)) for name in ARGUMENTS]
        values += [ctypes.c_int64(units)] if launch.per_unit else []
        if launch.scratch_bytes:
            held["m"] = self.allocate(grid[0] * launch.threads * launch.scratch_bytes)
            values.append(ctypes.c_uint64(held["m"]))
        pointers = (ctypes.c_void_p * 9)(*(ctypes.addressof(value) for value in values))
        self.call("cuLaunchKernel", function, *grid, launch.threads, 1, 1, launch.shared_bytes, None, pointers, None)
        result = self.take(held["o"], memory["o"])
        for address in held.values():
            self.free(address)
        self.call("cuModuleUnload", module)
        return result
