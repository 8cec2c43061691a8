"""The GPUs of this machine, asked of NVIDIA's driver."""

from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lowbit.targets.table import Target

__all__ = ["Gpu", "driver_name", "gpu_obstacle", "host_gpus"]

_MAJOR, _MINOR = 75, 76  # attributes of a device


@dataclass(frozen=True)
class Gpu:
    """``capability``: (8, 0) is sm_80;  ``memory_bytes``: of its own memory;  ``driver``: the CUDA version that the driver
    knows."""

    number: int
    name: str
    capability: tuple[int, int]
    memory_bytes: int
    driver: str

    @property
    def arch(self) -> str:
        return f"sm_{self.capability[0]}{self.capability[1]}"


def driver_name() -> str:
    """The driver's library: libcuda.so.1, or what the environment variable LOWBIT_CUDA_DRIVER names."""
    return os.environ.get("LOWBIT_CUDA_DRIVER") or "libcuda.so.1"


def host_gpus() -> tuple[tuple[Gpu, ...], str]:
    """All there are, and where there are none why, in words."""
    return _gpus(driver_name())


@cache
def _gpus(library: str) -> tuple[tuple[Gpu, ...], str]:
    try:
        cuda = ctypes.CDLL(library)
        if failed := cuda.cuInit(0):
            return (), f"the NVIDIA driver finds no GPU (error {failed})"
        count, version = ctypes.c_int(), ctypes.c_int()
        cuda.cuDriverGetVersion(ctypes.byref(version))
        cuda.cuDeviceGetCount(ctypes.byref(count))
        found = tuple(_gpu(cuda, number, version.value) for number in range(count.value))
    except OSError as error:
        return (), f"there is no NVIDIA driver here ({error})"
    except AttributeError as error:
        return (), f"the NVIDIA driver is too old ({error})"
    return found, "" if found else "the NVIDIA driver finds no GPU"


def _gpu(cuda: ctypes.CDLL, number: int, version: int) -> Gpu:
    device, major, minor, memory = ctypes.c_int(), ctypes.c_int(), ctypes.c_int(), ctypes.c_size_t()
    name = ctypes.create_string_buffer(128)
    cuda.cuDeviceGet(ctypes.byref(device), number)
    cuda.cuDeviceGetName(name, len(name), device)
    cuda.cuDeviceGetAttribute(ctypes.byref(major), _MAJOR, device)
    cuda.cuDeviceGetAttribute(ctypes.byref(minor), _MINOR, device)
    cuda.cuDeviceTotalMem_v2(ctypes.byref(memory), device)
    text = name.value.decode(errors="replace")
    return Gpu(number, text, (major.value, minor.value), memory.value, f"{version // 1000}.{version % 1000 // 10}")


def gpu_obstacle(target: Target) -> str:
    """Why no GPU of this machine runs code for ``target``: the end of a sentence that begins with its name, "" = one does."""
    gpus, why = host_gpus()
    if not gpus:
        return f", a GPU; {why}"
    if any(gpu.capability >= target.capability for gpu in gpus):
        return ""
    return f"; the GPUs here are older: {', '.join(f'{gpu.name} ({gpu.arch})' for gpu in gpus)}"
