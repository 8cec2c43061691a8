"""The skeleton of kernels of GPUs: seven pointers, as kernels/abi.py has them, and a grid instead of a range of units.

::

    extern "C" __global__ void symbol(X *x, R *r, W *w, B *b, float *s, int *t, O *o)
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from lowbit.kernels.abi import ARGUMENTS, DEFAULTS
from lowbit.kernels.gpu.launch import Launch

__all__ = ["GpuFrame", "gpu_attributes", "gpu_kernel", "threads_of"]


@dataclass
class GpuFrame:
    """An open kernel.  ``block``: (x, y, z) of this block, ``thread``: of this thread within it; int32.

    ``func`` is the finished PrimFunc once the ``with`` block has closed."""

    launch: Launch
    buffers: dict[str, Any] = field(default_factory=dict)
    handles: dict[str, Any] = field(default_factory=dict)
    block: tuple[Any, Any, Any] = (0, 0, 0)
    thread: Any = None
    func: Any = None

    def __getattr__(self, name: str) -> Any:
        if name in ARGUMENTS:
            return self.buffers[name]
        raise AttributeError(name)

    @property
    def index(self) -> Any:
        """Number of this thread among all threads along x."""
        return self.block[0] * self.launch.threads + self.thread

    @contextmanager
    def one_of(self, count: int) -> Iterator[Any]:
        """The number of this thread, below ``count``; threads beyond do nothing."""
        from tvm.tirx.script import builder as TB

        index = TB.Bind(self.index)
        with TB.If(index < count), TB.Then():
            yield index

    def view(self, name: str, dtype: str, elements: int) -> Any:
        """One more buffer over an argument, e.g. bytes as words, where 4 bytes are 4-byte aligned."""
        from tvm.tirx.script import builder as TB

        return TB.decl_buffer((elements,), dtype, data=self.handles[name])


def threads_of(count: int, threads: int = 128) -> Launch:
    """At least ``count`` threads along x, in blocks of ``threads``."""
    return Launch((-(-count // threads), 1, 1), threads)


def gpu_attributes(symbol: str) -> dict[str, Any]:
    """Attributes of a PrimFunc that TVM prints as a kernel."""
    return {"global_symbol": symbol, "tirx.noalias": True, "calling_conv": 2, "tirx.is_global_func": True}


@contextmanager
def gpu_kernel(symbol: str, launch: Launch, **pointers: tuple[str, int]) -> Iterator[GpuFrame]:
    """Open ``symbol``; ``pointers`` maps an argument's letter to (TIR dtype, elements); dtype "void": no buffer but those that
    :meth:`GpuFrame.view` declares.  Arguments left out keep their place in the signature::

        with gpu_kernel(spec.symbol(target.name), threads_of(n), x=("uint8", n), o=("uint8", n)) as k, k.one_of(n) as i:
            TB.buffer_store(k.o, k.x[i], [i])
        return k.func

    Blocks along y and z are there where the launch has more than one of them."""
    from tvm.script.ir_builder import IRBuilder
    from tvm.tirx.script import builder as TB

    frame = GpuFrame(launch)
    with IRBuilder() as builder, TB.prim_func(s_tir=True):
        TB.func_name(symbol)
        TB.func_attr(gpu_attributes(symbol))
        kinds = {name: pointers.get(name, (DEFAULTS[name], 1)) for name in ARGUMENTS}
        for name, (dtype, _) in kinds.items():
            frame.handles[name] = TB.arg(name, TB.handle(None if dtype == "void" else dtype))
        for name, (dtype, elements) in kinds.items():
            if dtype != "void":
                frame.buffers[name] = TB.decl_buffer((elements,), dtype, data=frame.handles[name])
        with _threads(launch) as (frame.block, frame.thread):
            yield frame
    frame.func = builder.get()


@contextmanager
def _threads(launch: Launch) -> Iterator[tuple[tuple[Any, Any, Any], Any]]:
    from contextlib import ExitStack

    from tvm.tirx.script import builder as TB

    with ExitStack() as stack:
        at = [0, 0, 0]
        for i, axis in enumerate("xyz"):
            if i == 0 or launch.grid[i] > 1:
                at[i] = stack.enter_context(TB.launch_thread(f"blockIdx.{axis}", launch.grid[i]))
        thread = stack.enter_context(TB.launch_thread("threadIdx.x", launch.threads))
        yield (at[0], at[1], at[2]), thread
