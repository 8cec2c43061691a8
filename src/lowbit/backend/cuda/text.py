"""KernelSpec -> TensorIR with threads -> CUDA C: the text that NVRTC, and the emulation on CPUs, compile."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from lowbit.kernels.gpu.launch import Launch, launch_of
from lowbit.kernels.gpu.table import gpu_function
from lowbit.kernels.spec import KernelSpec
from lowbit.targets import Target

__all__ = ["PREAMBLE", "CudaText", "cuda_text", "text_of"]

PREAMBLE = """\
typedef unsigned int uint;
typedef unsigned char uchar;
typedef unsigned short ushort;
typedef int int32_t;
typedef unsigned int uint32_t;
typedef short int16_t;
typedef unsigned short uint16_t;
typedef long long int64_t;
typedef unsigned long long uint64_t;
static __forceinline__ __device__ float lowbit_half_to_float(ushort half) {
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(half));
  return value;
}
static __forceinline__ __device__ ushort lowbit_float_to_half(float value) {
  ushort half;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(half) : "f"(value));
  return half;
}
"""
"""What NVRTC is given in front of a kernel: it has no <cstdint> of its own."""

_START = re.compile(r'^(__forceinline__ __device__|extern "C" __global__)', re.M)
_DECLARATION = re.compile(r'^extern "C" __global__ [^;{]*;\n', re.M)


@dataclass(frozen=True, eq=False)
class CudaText:
    """A kernel as CUDA C: ``text`` holds the function ``symbol`` and what it calls.  ``tir``: the TensorIR it is printed from."""

    symbol: str
    launch: Launch
    text: str
    tir: str


def cuda_text(spec: KernelSpec, target: Target) -> CudaText:
    """Deterministic: equal arguments give equal text.  Raises UnsupportedOperation for a kind without a builder."""
    func, symbol = gpu_function(spec, target), spec.symbol(target.name)
    return CudaText(symbol, launch_of(func), text_of(func, symbol, target), str(func.script(show_meta=False)))


def text_of(func: Any, symbol: str, target: Target) -> str:
    """What TVM prints of a PrimFunc with threads, without its preamble."""
    import tvm

    machine = _tvm_target(target.arch)
    module = tvm.IRModule({symbol: func})
    for step in (tvm.tirx.transform.BindTarget(machine), tvm.tirx.transform.LowerIntrin()):
        module = step(module)
    whole = str(tvm.get_global_func("target.build.cuda")(module, machine).inspect_source("cuda"))
    start = _START.search(whole)
    if start is None:
        raise ValueError(f"{symbol}: TVM printed no kernel")
    return _DECLARATION.sub("", whole[start.start() :]).rstrip() + "\n"


@cache
def _tvm_target(arch: str) -> Any:
    import tvm

    return tvm.target.Target({"kind": "cuda", "arch": arch})
