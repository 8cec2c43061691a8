"""Several vectors become bytes together: the bytes that each becomes alone."""

from __future__ import annotations

import numpy as np
import pytest
from tvm.script import tirx as T

from lowbit.kernels.abi import ARGUMENTS, kernel_function
from lowbit.kernels.packed_bytes import packed_bytes, packed_together
from lowbit.kernels.vectors import LANES, load, store
from lowbit.targets import TARGETS, Target
from tests.kernels.harness import aligned, load_function, runnable_targets

BOUNDS = [(0, 255, 0), (0, 15, 0), (-3, 250, 3), (-128, 127, 128), (2, 9, 40), (-8, 7, 8), (0, 0, 0), (5, 5, 250)]


@pytest.mark.parametrize("target", [t for t in runnable_targets() if t.machine == "x86_64"], ids=lambda t: t.name)
@pytest.mark.parametrize("vectors", [2, 4])
@pytest.mark.parametrize("bounds", BOUNDS, ids=str)
@pytest.mark.parametrize("bounded", [False, True])
def test_all_values(target: Target, vectors: int, bounds: tuple[int, int, int], bounded: bool) -> None:
    lo, hi, zero = bounds
    count = vectors * LANES
    edges = [
        0.5,
        1.5,
        2.5,
        -0.5,
        -1.5,
        254.5,
        255.5,
        32767.0,
        32768.0,
        -32768.5,
        65536.0,
        2.0**31,
        -(2.0**31),
        3e38,
        -3e38,
        1e-45,
    ]
    rng = np.random.default_rng(vectors)
    values = np.concatenate([edges, rng.uniform(-400, 400, 400), np.arange(-300, 300) / 2, rng.normal(0, 1e6, 200)]).astype(
        np.float32
    )
    values = values[np.abs(values) < 2.0**31] if bounded else values
    values = np.resize(values, -(-len(values) // count) * count)
    expected = (np.rint(values.clip(lo, hi)) + zero).astype(np.uint8)
    with kernel_function("pack", x=("float32", count), s=("float32", 3), o=("uint8", count)) as kernel:
        loaded = [load(kernel.x, at) for at in range(0, count, LANES)]
        saturate, zero_point = "avx512bw" in target.features, T.cast(kernel.s[2], "int32")
        packed = packed_bytes(loaded, kernel.s[0], kernel.s[1], zero_point, saturate, bounded)
        store(kernel.o, 0, packed, count)
    function = load_function(kernel.func, "pack", target)
    scalars, out = aligned(np.array(bounds, np.float32)), aligned(np.zeros(count, np.uint8))
    for start in range(0, len(values), count):
        given = aligned(values[start : start + count])
        pointers = {"x": given, "s": scalars, "o": out}
        function(*(pointers[name].ctypes.data if name in pointers else None for name in ARGUMENTS), 0, 1)
        np.testing.assert_array_equal(out, expected[start : start + count])


def test_how_many_are_packed() -> None:
    assert [packed_together(vectors) for vectors in range(1, 7)] == [1, 2, 2, 4, 4, 4]
    assert "avx512bw" in TARGETS["x86-64-v4"].features
