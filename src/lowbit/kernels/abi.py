"""The skeleton every kernel shares: one C signature, opened for a builder to fill with TensorIR.

::

    void symbol(const X *x, const R *r, const W *w, const B *b, const float *s, const int32_t *t,
                O *o, int32_t lo, int32_t hi)

Pointers are plain (no packed calls, no hidden run-time hooks) and ``restrict``.  ``m``, scratch memory, follows for kernels that
ask for it, and is all that the functions around a kernel get (kernels/spec.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

__all__ = ["ARGUMENTS", "DEFAULTS", "SCRATCH", "TIR_DTYPE", "KernelFrame", "around_function", "kernel_function"]

ARGUMENTS = ("x", "r", "w", "b", "s", "t", "o")
SCRATCH = "m"

TIR_DTYPE = {
    "u8": "uint8",
    "i16": "int16",
    "bf16": "uint16",  # the bits
    "i32": "int32",
    "f16": "uint16",  # its bits
    "f32": "float32",
    "f64": "float64",
    "bits": "uint8",
}  # of Layout.dtype
DEFAULTS = {"x": "uint8", "r": "uint8", "w": "int8", "b": "int32", "s": "float32", "t": "int32", "o": "uint8"}


@dataclass
class KernelFrame:
    """An open kernel: flat TIR buffers over its pointers, and the range of units.

    ``func`` is the finished PrimFunc once the ``with`` block has closed.
    """

    buffers: dict[str, Any] = field(default_factory=dict)
    handles: dict[str, Any] = field(default_factory=dict)
    lo: Any = None
    hi: Any = None
    func: Any = None

    def __getattr__(self, name: str) -> Any:
        if name in (*ARGUMENTS, SCRATCH):
            return self.buffers[name]
        raise AttributeError(name)

    def view(self, name: str, dtype: str, elements: int) -> Any:
        """One more buffer over an argument opened with dtype "void".  Each byte must be read as the type it
        was written as: LLVM is told that accesses of different types do not alias."""
        from tvm.tirx.script import builder as TB

        return TB.decl_buffer((elements,), dtype, data=self.handles[name])


@contextmanager
def kernel_function(symbol: str, **pointers: tuple[str, int]) -> Iterator[KernelFrame]:
    """Open ``symbol``; ``pointers`` maps an argument's letter to (TIR dtype, elements); ``m`` asks for scratch memory.

    dtype "void": no buffer but those that :meth:`KernelFrame.view` declares.  Arguments left out keep
    their place in the signature with the default dtype::

        with kernel_function(spec.symbol(target.name), x=("uint8", n), o=("float32", m)) as k:
            with TB.serial(k.lo, k.hi) as row:
                TB.buffer_store(k.o, T.cast(k.x[row], "float32"), [row])
        return k.func
    """
    from tvm.script.ir_builder import IRBuilder
    from tvm.tirx.script import builder as TB

    frame = KernelFrame()
    with IRBuilder() as builder, TB.prim_func(s_tir=True):
        TB.func_name(symbol)
        TB.func_attr({"global_symbol": symbol, "tirx.noalias": True})
        kinds = {name: pointers.get(name, (DEFAULTS[name], 1)) for name in ARGUMENTS}
        handles = {name: _handle(name, dtype) for name, (dtype, _) in kinds.items()}
        frame.handles = handles
        frame.lo = TB.arg("lo", TB.int32())
        frame.hi = TB.arg("hi", TB.int32())
        if SCRATCH in pointers:
            kinds[SCRATCH] = pointers[SCRATCH]
            handles[SCRATCH] = _handle(SCRATCH, pointers[SCRATCH][0])
        for name, (dtype, elements) in kinds.items():
            if dtype == "void":
                continue
            frame.buffers[name] = TB.decl_buffer((elements,), dtype, data=handles[name])
        yield frame
    frame.func = builder.get()


@contextmanager
def around_function(symbol: str, dtype: str, elements: int) -> Iterator[KernelFrame]:
    """Open ``<kernel's symbol>__begin`` or ``__end``: their only argument is the scratch memory ``m``."""
    from tvm.script.ir_builder import IRBuilder
    from tvm.tirx.script import builder as TB

    frame = KernelFrame()
    with IRBuilder() as builder, TB.prim_func(s_tir=True):
        TB.func_name(symbol)
        TB.func_attr({"global_symbol": symbol, "tirx.noalias": True})
        frame.handles = {SCRATCH: _handle(SCRATCH, dtype)}
        frame.buffers = {SCRATCH: TB.decl_buffer((elements,), dtype, data=frame.handles[SCRATCH])}
        yield frame
    frame.func = builder.get()


def _handle(name: str, dtype: str) -> Any:
    from tvm.tirx.script import builder as TB

    return TB.arg(name, TB.handle(None if dtype == "void" else dtype))
