"""Networks whose kernels are written in C by the test: the runtime without a code generator."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import ClassVar

import numpy as np

from lowbit.backend.build import build_library, weights_file
from lowbit.backend.toolchain import C_FLAGS, find_compiler
from lowbit.kernels.packing import Packing
from lowbit.kernels.spec import KernelSpec
from lowbit.lowering.program import NULL, Call, Fill, Program, Ref, Weights
from lowbit.numerics import QType
from lowbit.targets import Target, find_target

__all__ = ["TARGET", "CSpec", "built", "call", "compile_c", "dump_weights", "linear_network", "linear_reference", "objects"]

TARGET: Target = find_target("x86-64")


@dataclass(frozen=True)
class CSpec(KernelSpec):
    """A kernel given by the body of its C function.  ``scratch``: bytes it asks for at ``m``.

    ``begin``, ``end``: bodies of what is around its units.  ``shared``: what stands before the functions."""

    kind: ClassVar[str] = "toy"
    body: str
    count: int = 1
    scratch: int = 0
    begin: str = ""
    end: str = ""
    shared: str = ""

    @property
    def scratch_bytes(self) -> int:
        return self.scratch

    @property
    def bracketed(self) -> bool:
        return bool(self.begin or self.end)

    @property
    def units(self) -> int:
        return self.count


@cache
def compile_c(spec: CSpec, target: Target, flags: tuple[str, ...] = (), more: str = "", body: str = "") -> bytes:
    """``body``: another one under the same name; ``more``: what it includes."""
    with tempfile.TemporaryDirectory() as folder:
        around = ""
        if spec.bracketed:
            for name, text in (("begin", spec.begin), ("end", spec.end)):
                around += f"void {spec.symbol(target.name)}__{name}(void *m) {{\n(void)m;\n{text}\n}}\n"
        source = (
            f"#include <stdint.h>\n#include <string.h>\n{more}{spec.shared}\n{around}"
            f"void {spec.symbol(target.name)}(const void *x, const void *r, const void *w, const void *b, const float *s,\n"
            f"    const int32_t *t, void *o, int32_t lo, int32_t hi{', void *m' if spec.scratch else ''}) {{\n"
            "(void)x; (void)r; (void)w; (void)b; (void)s; (void)t; (void)o; (void)lo; (void)hi;\n"
            f"{body or spec.body}\n}}\n"
        )
        (Path(folder) / "k.c").write_text(source)
        find_compiler(target).run([*C_FLAGS, *flags, "-c", "k.c", "-o", "k.o"], Path(folder))
        return (Path(folder) / "k.o").read_bytes()


def objects(program: Program, target: Target = TARGET) -> dict[KernelSpec, bytes]:
    return {spec: compile_c(spec, target) for spec in program.specs}  # type: ignore[arg-type]


def built(program: Program, target: Target = TARGET) -> tuple[bytes, bytes]:
    """(library, weight file)."""
    return build_library(program, objects(program, target), target), weights_file(program)


def call(layer: str, body: str, units: int = 1, fills: tuple[Fill, ...] = (), macs: int = 0, **refs: Ref) -> Call:
    args = tuple(refs.get(name, NULL) for name in ("x", "r", "w", "b", "s", "t", "o"))
    return Call(layer, CSpec(body, units), args, fills, macs)


def dump_weights(weights: tuple[Weights, ...], nbytes: int) -> Program:
    """Outputs the whole weight memory, as the bytes of float32 numbers."""
    copy = call("dump", f"memcpy(o, w, {nbytes});", w=Ref("weights"), o=Ref("output"))
    return Program("dump", (copy,), (), weights, b"", 64, nbytes, (), ((nbytes // 4,),))


LINEAR = """
    const float *v = x; const int8_t *p = w; const int32_t *bias = b; float *out = o;
    for (int32_t n = lo; n < hi; n++) {
        int32_t acc = bias[n];
        for (int32_t k = 0; k < K; k++) acc += (int32_t)v[k] * p[(n / 16 * (KP / 4) + k / 4) * 64 + n % 16 * 4 + k % 4];
        out[n] = (float)acc * s[0];
    }
"""


def linear_network(
    name: str = "toy", n: int = 40, k: int = 30, layers: int = 3, bits: str = "i8", seed: int = 0
) -> tuple[Program, np.ndarray]:
    """y = W x / 2, applied to the input and, scaled down, ``layers`` times more; and W itself, int64 [n, k].

    (n outputs; every layer after the first reads the first k outputs of the one before, rounded.)
    """
    qtype = QType.parse(bits)
    rng = np.random.default_rng(seed)
    values = rng.integers(qtype.qmin, qtype.qmax + 1, (n, k)).astype(np.int8)
    padded = -(-k // 4) * 4
    packing = Packing("panels", "i8", n, 1, k, padded, 16, 4)
    constants = np.concatenate([np.arange(n, dtype="<i4").view(np.uint8), np.zeros(-(4 * n) % 64, np.uint8)]).tobytes()
    scale_at = len(constants)
    constants += np.float32(0.5).tobytes() + bytes(60)
    body = LINEAR.replace("KP", str(padded)).replace("K", str(k))
    shrink = "const float *v = x; float *out = o; for (int32_t i = lo; i < hi; i++) out[i] = (float)((int32_t)v[i] % 64);"
    common = {"w": Ref("weights"), "b": Ref("constants", 0), "s": Ref("constants", scale_at)}
    half = -(-4 * max(n, k) // 64) * 64
    first, second = Ref("arena", 0), Ref("arena", half)
    calls = [call("in", shrink, k, x=Ref("input"), o=second)]
    for i in range(layers):
        out = Ref("output") if i == layers - 1 else first
        calls.append(call(f"layer{i}", body, n, macs=n * k, x=second, o=out, **common))
        if i < layers - 1:
            calls.append(call(f"shrink{i}", shrink, k, x=first, o=second))
    weights = (Weights("layer0", values, bits, qtype.bits, packing, 0),)
    program = Program(name, tuple(calls), (), weights, constants, 2 * half, packing.nbytes, ((1, k),), ((1, n),), ("x",), ("y",))
    return program, values.astype(np.int64)


def linear_reference(values: np.ndarray, x: np.ndarray, layers: int = 3) -> np.ndarray:
    """What :func:`linear_network` computes: C's division truncates, hence fmod."""
    n, k = values.shape
    v = np.fmod(np.trunc(x.reshape(-1)), 64)
    for _ in range(layers):
        y = ((values @ v.astype(np.int64) + np.arange(n)).astype(np.float32) * np.float32(0.5)).astype(np.float32)
        v = np.fmod(np.trunc(y[:k]), 64)
    return y.reshape(1, n)
