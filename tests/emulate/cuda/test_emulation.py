"""CUDA text executed on the CPU: right results of right text, and every planted fault is found."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lowbit.emulate.cuda import driver
from lowbit.emulate.cuda.emulation import Emulation, compile_text, emulation_of
from lowbit.emulate.cuda.host_text import host_text, merged
from lowbit.errors import LowbitError

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="CUDA text is run on a CPU by way of g++")

# two warps: each multiplies its 16 x 64 pixels by 8 channels, in two stages of cp.async, and rounds to bytes
TEXT = r"""
__forceinline__ __device__ void copy16(uint to, void* from) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" : : "r"(to), "l"(from));
}
__forceinline__ __device__ void commit() { asm volatile("cp.async.commit_group;"); }
__forceinline__ __device__ void wait() { asm volatile("cp.async.wait_group 0;"); }
__forceinline__ __device__ void matrices(uint& d0, uint& d1, uint& d2, uint& d3, uint p) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
    : "=r"(d0), "=r"(d1), "=r"(d2), "=r"(d3) : "r"(p));
}
__forceinline__ __device__ void mma(uint& d0, uint& d1, uint& d2, uint& d3,
    uint a0, uint a1, uint a2, uint a3, uint b0, uint b1) {
  asm volatile(
    "mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%10, %11, %12, %13};"
    : "=r"(d0), "=r"(d1), "=r"(d2), "=r"(d3)
    : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1), "r"(d0), "r"(d1), "r"(d2), "r"(d3));
}
extern "C" __global__ void __launch_bounds__(64)
product(uint* __restrict__ x, uint* __restrict__ w, float* __restrict__ s, uchar* __restrict__ o) {
  __shared__ alignas(64) uint rows[1024];
  uint d[4] = {0, 0, 0, 0};
  uint a[4];
  int lane = ((int)threadIdx.x) & 31, warp = ((int)threadIdx.x) >> 5;
  for (int half = 0; half < 2; half++)
    copy16((uint)__cvta_generic_to_shared(rows + half * 512 + (((int)threadIdx.x) >> 1) * 8 + (lane & 1) * 4),
           x + (((int)blockIdx.x) * 32 + (((int)threadIdx.x) >> 1)) * 16 + half * 8 + (lane & 1) * 4);
  commit();
  wait();
  __syncthreads();
  int other = 1 - warp;  /* each warp takes what the other one brought */
  for (int half = 0; half < 2; half++) {
    uint* row = rows + half * 512 + (other * 16 + (lane & 15)) * 8;
    matrices(a[0], a[1], a[2], a[3], (uint)__cvta_generic_to_shared(row + (lane >> 4) * 4));
    uint2 b = *(uint2*)(w + (half * 32 + lane) * 2);
    mma(d[0], d[1], d[2], d[3], a[0], a[1], a[2], a[3], b.x, b.y);
  }
  for (int i = 0; i < 4; i++) {
    int row = ((int)blockIdx.x) * 32 + other * 16 + (lane >> 2) + i / 2 * 8;
    float f = __fmul_rn(((float)((int)d[i])), s[0]);
    o[row * 8 + (lane & 3) * 2 + i % 2] = (uchar)(__float2int_rn(max(min(f, 127.0f), -128.0f)) + 128);
  }
}
"""
BLOCKS = 5
FAULTS = {
    "no barrier": ("__syncthreads();", ""),
    "no wait": ("wait();\n  __sync", "\n  __sync"),
    "one group short": ("cp.async.wait_group 0", "cp.async.wait_group 1"),
    "operands swapped": ("{%4, %5, %6, %7}, {%8", "{%4, %6, %5, %7}, {%8"),
    "a row too far": ("(lane & 15)) * 8", "(lane & 7)) * 8"),
    "round half away": ("__float2int_rn(", "(int)roundf("),
    "round toward zero": ("__float2int_rn(", "(int)("),
    "write outside": ("row * 8", "(row + 8) * 8"),
    "not all lanes": ("mma(d[0]", "if (lane != 3) mma(d[0]"),
    "a barrier not all reach": ("__syncthreads();", "if (warp) __syncthreads();"),
}


def _problem() -> tuple[list[np.ndarray], np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (BLOCKS * 32, 64), dtype=np.uint8)
    w = rng.integers(-128, 128, (8, 64)).astype(np.int8)
    scale = np.float32(2.0**-11)  # a power of two: many exact halves, which show how ties are rounded
    w[:4] = w[:4] // 64 * 64
    fragments = w.reshape(8, 2, 2, 4, 4).transpose(1, 0, 3, 2, 4)  # half, column, quad, word, byte: b0 and b1 of each lane
    want = np.rint(np.clip((x.astype(np.int64) @ w.T.astype(np.int64)).astype(np.float32) * scale, -128, 127)) + 128
    arguments = [
        x.view(np.uint32),
        np.ascontiguousarray(fragments).view(np.uint32),
        np.array([scale]),
        np.full((BLOCKS * 32, 8), 7, np.uint8),
    ]
    return arguments, want.astype(np.uint8)


def _wrong(emulation: Emulation, seeds: int = 3) -> int:
    arguments, want = _problem()
    runs = [emulation.run("product", (BLOCKS, 1, 1), 64, arguments, seed + 1)[3] for seed in range(seeds)]
    return sum(int((got != want).sum()) for got in runs)


@pytest.mark.parametrize("flags", [(), ("-DEMU_UCONTEXT",)], ids=["switch", "ucontext"])
def test_equals_numpy(flags: tuple[str, ...], tmp_path: Path) -> None:
    assert _wrong(emulation_of({"product": TEXT}, tmp_path, *flags)) == 0


def test_data_holds_exact_halves() -> None:
    arguments, _ = _problem()
    x, w = arguments[0].view(np.uint8), arguments[1].view(np.int8).reshape(2, 8, 4, 2, 4).transpose(1, 0, 3, 2, 4).reshape(8, 64)
    results = (x.astype(np.int64) @ w.T.astype(np.int64)) * 2.0**-11
    inside = np.abs(results) < 127
    assert (inside & (results % 1 == 0.5) & (np.floor(results) % 2 == 0)).any()


def test_faults_are_found(tmp_path: Path) -> None:
    """All in one library: a fault must change results or be named; none may pass."""
    texts = {}
    for number, (old, new) in enumerate(FAULTS.values()):
        assert TEXT.count(old) >= 1
        broken = TEXT.replace(old, new)
        for name in ("product", "copy16", "commit", "wait", "matrices", "mma"):
            broken = broken.replace(f"{name}(", f"{name}{number}(")
        texts[f"product{number}"] = broken
    emulation, (arguments, want) = emulation_of(texts, tmp_path), _problem()
    for number, name in enumerate(FAULTS):
        try:
            runs = [emulation.run(f"product{number}", (BLOCKS, 1, 1), 64, arguments, seed)[3] for seed in (1, 2, 3)]
            found = any((got != want).any() for got in runs)
        except LowbitError as error:
            found = any(text in str(error) for text in ("lanes of a warp", "a write outside", "deadlock"))
        assert found, name


def test_a_vector_that_is_not_aligned_ends_the_process(tmp_path: Path) -> None:
    """The sanitizer ends the process, so the fault runs in one of its own."""
    emulation_of({"product": TEXT.replace("(half * 32 + lane) * 2)", "(half * 32 + lane) * 2 + 1)")}, tmp_path)
    code = (
        "import pathlib, sys; from tests.emulate.cuda.test_emulation import _problem;"
        "from lowbit.emulate.cuda.emulation import Emulation;"
        "Emulation(pathlib.Path(sys.argv[1])).run('product', (5, 1, 1), 64, _problem()[0])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "emulation.so")], capture_output=True, text=True)
    assert done.returncode
    assert "misaligned address" in done.stderr


def test_assembly_without_a_rule_is_refused() -> None:
    with pytest.raises(LowbitError, match="inline assembly"):
        host_text('asm("mov.u32 %0, %%laneid;" : "=r"(lane));')


def test_text_that_does_not_compile(tmp_path: Path) -> None:
    with pytest.raises(LowbitError, match="does not take the kernels' text"):
        compile_text("int f() { return nothing; }", tmp_path / "k.so")


def test_kernels_are_called_by_name(tmp_path: Path) -> None:
    emulation = emulation_of({"product": TEXT}, tmp_path)
    with pytest.raises(LowbitError, match="no kernel of this name"):
        emulation.run("another", (1, 1, 1), 32, [])
    with pytest.raises(LowbitError, match="a multiple of 32"):
        emulation.run("product", (1, 1, 1), 33, _problem()[0])


def test_inline_functions_are_merged() -> None:
    assert merged([TEXT, TEXT.replace("product", "again")]).count("void copy16(") == 1


def test_every_file_decides_about_compiled_kernels() -> None:
    """What is kept from an earlier run was made by the same header and the same way from CUDA text to C++."""
    folder = Path(driver.__file__).parent
    kept = {path.name for path in folder.glob("*.py")} - {"__init__.py", "driver.py"}  # the driver has another key
    assert kept == set(driver._SOURCES)
