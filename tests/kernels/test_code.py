"""The code of kernels calls nothing, on every target."""

from __future__ import annotations

import re

import pytest

from lowbit.backend.codegen import generate
from lowbit.kernels.data_movement.spec import CopySpec, GatherSpec, InputSpec, OutputSpec, PackBitsSpec, PackFieldsSpec, RunsSpec
from lowbit.kernels.depthwise_conv2d.spec import DepthwiseSpec
from lowbit.kernels.elementwise.spec import BinarySpec, LutSpec, UnarySpec
from lowbit.kernels.layout import Layout
from lowbit.kernels.pool.spec import PoolSpec
from lowbit.kernels.softmax.spec import SoftmaxSpec
from lowbit.kernels.spec import KernelSpec
from lowbit.kernels.winograd.spec import WinogradSpec
from lowbit.targets import TARGETS, Target

_BYTES = Layout(1, 4, 20, 32, 32)
_HALO = Layout(1, 4, 20, 32, 32, "u8", 1, 1, 1, 1)
_WORDS = Layout(1, 4, 20, 32, 32, "i16")
_FLOATS = Layout(1, 4, 20, 32, 32, "f32")

SPECS: list[KernelSpec] = [
    BinarySpec(fn="add", src=_BYTES, other=_WORDS, dst=_BYTES),
    BinarySpec(fn="affine", src=_FLOATS, other=None, dst=_FLOATS),
    UnarySpec(fn="silu", src=_FLOATS, dst=_FLOATS),
    UnarySpec(fn="log1p", src=_FLOATS, dst=_FLOATS),
    LutSpec(src=_BYTES, dst=_BYTES),
    LutSpec(src=_WORDS, dst=_FLOATS),
    PoolSpec(fn="max", src=_BYTES, dst=_BYTES),
    PoolSpec(fn="avg", src=_WORDS, dst=_WORDS),
    CopySpec(
        dtype="u8",
        dims=((2, 640, 640), (20, 1, 32), (32, 20, 1)),
        src_offset=0,
        dst_offset=0,
        src_elements=1280,
        dst_elements=1280,
    ),
    GatherSpec(dtype="u8"),
    GatherSpec(dtype="f32", run=20),
    RunsSpec(src="u8", dst="u8", depth=2),
    RunsSpec(src="f32", dst="f32", depth=1),
    RunsSpec(src="i16", dst="u8", depth=2, rescale=True),
    InputSpec(dst=Layout(1, 4, 20, 3, 3), strides=(240, 20, 1, 80)),
    OutputSpec(src=_BYTES, strides=(2560, 20, 1, 80)),
    PackBitsSpec(src=_BYTES, dst=Layout(1, 4, 20, 32, 4, "bits")),
    PackFieldsSpec(src=_BYTES, dst=Layout(1, 4, 20, 11, 16), fields=3, bits=2),
    SoftmaxSpec(src=_WORDS, dst=_BYTES),
    SoftmaxSpec(src=_FLOATS, dst=_FLOATS),
    DepthwiseSpec(
        src=_HALO,
        dst=_BYTES,
        residual=_BYTES,
        kernel=(3, 3),
        stride=(1, 1),
        dilation=(1, 1),
        padding=(1, 1),
        act="u8",
        weight="i8",
        form="i8",
    ),
    WinogradSpec(
        src=Layout(1, 4, 20, 32, 32, "f32", 1, 1, 1, 1),
        dst=_FLOATS,
        residual=None,
        padding=(1, 1),
        act="f32",
        weight="f32",
        form="f32",
        m=4,
        k_group=1,
        depth=1,
        mr=2,
        nr=16,
        tb=5,
        n_blocks=2,
    ),
    DepthwiseSpec(
        src=_HALO,
        dst=_BYTES,
        residual=None,
        kernel=(3, 3),
        stride=(1, 1),
        dilation=(1, 1),
        padding=(1, 1),
        act="u8",
        weight="i16",
        form="i16",
        wide=True,
    ),
]

ARM = Target("cortex-a76", "aarch64-linux-gnu", "cortex-a76", frozenset({"neon"}), 16, 32, 65536, 262144, "armv8.2-a")


CPUS = [target for target in TARGETS.values() if not target.arch]


@pytest.mark.parametrize("target", [*CPUS, ARM], ids=lambda t: t.name)
@pytest.mark.parametrize("spec", SPECS, ids=lambda s: s.label)
def test_code_is_self_contained(spec, target):
    """One global symbol, and no call to libm (a vector taken apart) or to a run-time hook.  memset and
    memcpy, which compilers put in place of loops, are part of every C library."""
    made = generate(spec, target)
    assert made.symbol == spec.symbol(target.name)
    assert re.findall(r"^\s*\.globl\s+(\S+)", made.asm, re.M) == [made.symbol]
    called = re.findall(r"^\s*(?:callq?|blr?)\s+([^\s@]+)", made.asm, re.M)
    assert set(called) <= {"memset", "memcpy"}
