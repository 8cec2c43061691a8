"""The table of kernels: every kind has a builder, on every target, and its code calls nothing."""

from __future__ import annotations

import re

import pytest

from lowbit.backend.codegen import generate
from lowbit.kernels.layout import Layout
from lowbit.kernels.spec import (
    BinarySpec,
    CopySpec,
    DepthwiseSpec,
    InputSpec,
    KernelSpec,
    LutSpec,
    OutputSpec,
    PackBitsSpec,
    PackFieldsSpec,
    PoolSpec,
    RunsSpec,
    SoftmaxSpec,
    UnarySpec,
    WinogradSpec,
    spec_from_json,
)
from lowbit.kernels.table import BUILDERS
from lowbit.targets import TARGETS, Target

_BYTES = Layout(1, 4, 20, 32, 32)
_HALO = Layout(1, 4, 20, 32, 32, "u8", 1, 1, 1, 1)
_WORDS = Layout(1, 4, 20, 32, 32, "i16")
_FLOATS = Layout(1, 4, 20, 32, 32, "f32")

SPECS: list[KernelSpec] = [
    BinarySpec("add", _BYTES, _WORDS, _BYTES),
    BinarySpec("affine", _FLOATS, None, _FLOATS),
    UnarySpec("silu", _FLOATS, _FLOATS),
    UnarySpec("log1p", _FLOATS, _FLOATS),
    LutSpec(_BYTES, _BYTES),
    LutSpec(_WORDS, _FLOATS),
    PoolSpec("max", _BYTES, _BYTES),
    PoolSpec("avg", _WORDS, _WORDS),
    CopySpec("u8", ((2, 640, 640), (20, 1, 32), (32, 20, 1)), 0, 0, 1280, 1280),
    RunsSpec("u8", "u8", 2),
    RunsSpec("f32", "f32", 1),
    RunsSpec("i16", "u8", 2, rescale=True),
    InputSpec(Layout(1, 4, 20, 3, 3), (240, 20, 1, 80)),
    OutputSpec(_BYTES, (2560, 20, 1, 80)),
    PackBitsSpec(_BYTES, Layout(1, 4, 20, 32, 4, "bits")),
    PackFieldsSpec(_BYTES, Layout(1, 4, 20, 11, 16), 3, 2),
    SoftmaxSpec(_WORDS, _BYTES),
    SoftmaxSpec(_FLOATS, _FLOATS),
    DepthwiseSpec(_HALO, _BYTES, _BYTES, (3, 3), (1, 1), (1, 1), (1, 1), "u8", "i8", "i8"),
    WinogradSpec(Layout(1, 4, 20, 32, 32, "f32", 1, 1, 1, 1), _FLOATS, None, (1, 1), "f32", "f32", "f32", 4, 1, 1, 2, 16, 5, 2),
    DepthwiseSpec(_HALO, _BYTES, None, (3, 3), (1, 1), (1, 1), (1, 1), "u8", "i16", "i16", wide=True),
]

ARM = Target("cortex-a76", "aarch64-linux-gnu", "cortex-a76", frozenset({"neon"}), 16, 32, 65536, 262144, "armv8.2-a")


def test_every_kind_of_spec_has_a_builder():
    own = [cls for cls in KernelSpec.__subclasses__() if cls.__module__ == KernelSpec.__module__]  # tests have others
    assert {cls.kind for cls in own} == set(BUILDERS)


def test_every_kind_is_generated_here():
    assert {spec.kind for spec in SPECS} | {"conv2d", "pack_pairs"} == set(BUILDERS)


@pytest.mark.parametrize("target", [*TARGETS.values(), ARM], ids=lambda t: t.name)
@pytest.mark.parametrize("spec", SPECS, ids=lambda s: s.label)
def test_code_is_self_contained(spec, target):
    """One global symbol, and no call to libm (a vector taken apart) or to a run-time hook.  memset and
    memcpy, which compilers put in place of loops, are part of every C library."""
    made = generate(spec, target)
    assert made.symbol == spec.symbol(target.name)
    assert re.findall(r"^\s*\.globl\s+(\S+)", made.asm, re.M) == [made.symbol]
    called = re.findall(r"^\s*(?:callq?|blr?)\s+([^\s@]+)", made.asm, re.M)
    assert set(called) <= {"memset", "memcpy"}


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: s.label)
def test_json_round_trip(spec):
    assert spec_from_json(spec.to_json()) == spec
