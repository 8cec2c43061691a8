"""A network on a GPU, loaded from memory and called through ctypes."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

from lowbit.backend.native import NativeNetwork
from lowbit.backend.protocol import FilePart
from lowbit.errors import LowbitError

__all__ = ["CudaNetwork"]


class CudaNetwork(NativeNetwork):
    """As NativeNetwork; :meth:`run` copies to the GPU and back.  ``threads``: of the CPU, to unpack the weights.

    ``device``: number of the GPU.  Raises LowbitError where there is none of that number, ArtifactError: no driver, or a driver
    or a GPU too old for the kernels, out of memory."""

    def __init__(
        self, library: bytes | memoryview, weights: bytes | memoryview | FilePart, threads: int | None = None, device: int = 0
    ) -> None:
        self._device = device
        super().__init__(library, weights, threads)

    def _bind(self) -> None:
        super()._bind()
        run = getattr(self._lib, f"{self.prefix}_run_device")
        run.restype, run.argtypes = ctypes.c_int, [ctypes.c_void_p] * 4
        self._run_device = run
        choose = getattr(self._lib, f"{self.prefix}_set_device")
        choose.restype, choose.argtypes = ctypes.c_int, [ctypes.c_int]
        if choose(self._device):
            raise LowbitError(self._error().decode(errors="replace"))

    @property
    def device(self) -> int:
        """Number of the GPU."""
        return self._device

    def run_device(self, inputs: Sequence[int], outputs: Sequence[int], stream: int = 0) -> None:
        """From and to addresses in the GPU's memory, in the order of the network's tensors and dense; queued on ``stream`` (0:
        the default one), not awaited.  Raises LowbitError: closed, out of memory, or what the driver says."""
        sources = (ctypes.c_void_p * max(len(inputs), 1))(*inputs)
        targets = (ctypes.c_void_p * max(len(outputs), 1))(*outputs)
        self._call(self._run_device, sources, targets, stream)
