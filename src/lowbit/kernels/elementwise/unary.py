"""UnarySpec -> TensorIR: float32 functions of one operand."""

from __future__ import annotations

from typing import Any

from tvm.tirx.script import builder as TB

from lowbit.errors import UnsupportedOperation
from lowbit.kernels.abi import kernel_function
from lowbit.kernels.elementwise.functions import FUNCTIONS
from lowbit.kernels.elementwise.parameters import PARAMETERS
from lowbit.kernels.elementwise.spec import UnarySpec
from lowbit.kernels.rows import walk_row
from lowbit.kernels.vectors import load_channels, splat, store
from lowbit.targets import Target

__all__ = ["build"]


def build(spec: UnarySpec, target: Target) -> Any:
    """One row a unit.  Raises UnsupportedOperation for a function that is not in the table."""
    if spec.fn not in FUNCTIONS:
        raise UnsupportedOperation(f"no float kernel for the function {spec.fn!r}; there are: {', '.join(FUNCTIONS)}")
    src, dst = spec.src, spec.dst
    pointers = {"x": ("float32", src.elements), "o": ("float32", dst.elements)}
    pointers["s"] = ("float32", max(1, len(PARAMETERS.get(spec.fn, ()))))

    with kernel_function(spec.symbol(target.name), **pointers) as k, TB.serial(k.lo, k.hi) as row:
        for at_x, at_o, valid in walk_row(row, src, dst):
            value = FUNCTIONS[spec.fn](load_channels(k.x, at_x, valid), k.s) if valid else splat(0.0, "float32")
            store(k.o, at_o, value)
    return k.func
