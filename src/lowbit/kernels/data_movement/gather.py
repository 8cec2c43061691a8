"""GatherSpec -> TensorIR: copies of pieces whose places a table says."""

from __future__ import annotations

from typing import Any

from tvm.script import tirx as T
from tvm.tirx.script import builder as TB

from lowbit.kernels.abi import TIR_DTYPE, KernelFrame, kernel_function
from lowbit.kernels.data_movement.spec import GatherSpec
from lowbit.kernels.layout import ELEMENT_BYTES
from lowbit.kernels.rows import spans
from lowbit.kernels.vectors import LANES, load, store
from lowbit.targets import Target

__all__ = ["build"]

_ANY = 1 << 30  # extent of a buffer whose size only the caller knows
_HEAD = 2  # entries of t before the units


def build(spec: GatherSpec, target: Target) -> Any:
    """Pieces of one length in the widest vectors that fit into it; of several lengths each by itself."""
    dtype, widest = TIR_DTYPE[spec.dtype], 64 // ELEMENT_BYTES[spec.dtype]
    with kernel_function(spec.symbol(target.name), x=(dtype, _ANY), o=(dtype, _ANY), t=("int32", _ANY)) as k:
        pieces, begin = TB.Bind(k.t[0]), TB.Bind(k.t[1])
        each = 2 if spec.run else 3
        with TB.serial(k.lo, k.hi) as unit:
            at_x, at_o = (TB.Bind(k.t[_HEAD + 2 * unit + side]) for side in range(2))
            with TB.serial(T.int32(0), pieces) as piece:
                x, o = (TB.Bind(at + k.t[begin + each * piece + side]) for side, at in enumerate((at_x, at_o)))
                if spec.run:
                    for i, lanes in spans(spec.run, widest if spec.run >= widest else LANES):
                        store(k.o, o + i, load(k.x, x + i, lanes), lanes)
                else:
                    _run(k, TB.Bind(k.t[begin + each * piece + 2]), tuple(dict.fromkeys((widest, LANES, 1))), x, o)
    return k.func


def _run(k: KernelFrame, run: Any, widths: tuple[int, ...], x: Any, o: Any) -> None:
    """The widest of ``widths`` that fits; the last vector overlaps the one before it."""
    width, *rest = widths

    def copy() -> None:
        with TB.serial(T.int32(0), T.truncdiv(run + (width - 1), T.int32(width))) as i:
            at = TB.Bind(T.min(i * width, run - width))
            store(k.o, o + at, load(k.x, x + at, width), width)

    if not rest:
        return copy()
    with TB.If(run >= width):
        with TB.Then():
            copy()
        with TB.Else():
            _run(k, run, tuple(rest), x, o)
    return None
