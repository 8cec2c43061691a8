"""ConvSpec -> TensorIR for tensor cores.

A block of threads computes ``m_tiles`` x ``n_blocks`` tiles of ``mr`` pixels x ``nr`` channels, a warp each.  There are two
ways for operands to come to registers:

- straight from device memory, each warp on its own, a few steps at a time so that many loads are under way.  Where a layer has
  few tiles, several warps share one: each sums ``depth`` of its steps, and the first adds up what the others bring through
  shared memory.  Sums of integers are exact in any order.
- ``staged``: through shared memory, the whole block together, copied by cp.async while earlier steps are multiplied.  Shared
  memory holds the same order as device memory: 16 bytes a thread, neighbouring threads side by side, so no access has bank
  conflicts.
"""

from __future__ import annotations

from typing import Any

from lowbit.kernels.conv2d.spec import ConvSpec, form_of
from lowbit.kernels.gpu.conv2d.direct import Direct, Wide
from lowbit.kernels.gpu.conv2d.staged import Staged
from lowbit.kernels.gpu.conv2d.tile import Tile
from lowbit.kernels.gpu.conv2d.tiling import threads_of
from lowbit.kernels.gpu.epilogue import GpuEpilogue
from lowbit.kernels.gpu.function import gpu_kernel
from lowbit.kernels.gpu.launch import Launch
from lowbit.targets import Target

__all__ = ["build"]


def build(spec: ConvSpec, target: Target) -> Any:
    form: Any = form_of(spec.form)
    grid = (-(-spec.tiles // spec.m_tiles), -(-spec.blocks // spec.n_blocks), 1)
    pointers = GpuEpilogue.pointers() | {"x": ("void", 0), "w": ("void", 0), "t": ("int32", max(1, spec.blocks))}
    with gpu_kernel(spec.symbol(target.name), Launch(grid, threads_of(spec)), **pointers) as frame:
        kind: type[Tile] = Staged if form.staged else Wide if spec.wide else Direct
        tile = kind(frame, spec, form.atom)
        tile.multiply()
        tile.finish()
    return frame.func
