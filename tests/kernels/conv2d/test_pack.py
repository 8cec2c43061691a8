"""Panels against the definition in ``Packing``, element by element."""

from __future__ import annotations

import numpy as np
import pytest

from lowbit.errors import NumericsError
from lowbit.kernels.conv2d.pack import pack_weights, split_parts, weight_blocks
from lowbit.kernels.packing import Packing


def naive(values: np.ndarray, p: Packing) -> list[int]:
    """One element after the other, as the docstring of ``Packing`` says."""
    values = values.reshape(p.n, p.runs, p.run_len)
    out = []
    for block in range(p.blocks):
        for run in range(p.runs):
            for step in range(p.run_pad // p.k_group):
                for part in range(p.parts):
                    for lane in range(p.nr):
                        for j in range(p.k_group):
                            n, k = block * p.nr + lane, step * p.k_group + j
                            w = int(values[n, run, k]) if n < p.n and k < p.run_len else 0
                            if p.parts == 2:
                                low = (w + 128) % 256 - 128
                                w = low if part else (w - low) // 256
                            out.append(w)
    return out


@pytest.mark.parametrize(
    ("element", "n", "runs", "run_len", "run_pad", "nr", "k_group", "parts"),
    [("i8", 17, 3, 7, 8, 16, 4, 1), ("i8", 5, 1, 1, 4, 32, 4, 1), ("i16", 20, 2, 5, 6, 16, 2, 2), ("f32", 16, 2, 3, 3, 16, 1, 1)],
)
def test_panels(element: str, n: int, runs: int, run_len: int, run_pad: int, nr: int, k_group: int, parts: int) -> None:
    limit = 32768 if element == "i16" else 128
    values = np.random.default_rng(0).integers(-limit, limit, (n, runs * run_len))
    p = Packing("panels", element, n, runs, run_len, run_pad, nr, k_group, parts)
    dtype = {"i8": np.int8, "i16": np.int16, "f32": np.float32}[element]
    packed = pack_weights(values, p)
    assert len(packed) == p.nbytes
    assert np.frombuffer(packed, dtype).tolist() == naive(values, p)


def test_bits() -> None:
    values = np.random.default_rng(1).choice([-1, 1], (18, 2 * 40))
    p = Packing("panels", "bit", 18, 2, 40, 64, 16, 32)
    packed = pack_weights(values, p)
    assert len(packed) == p.nbytes
    words = np.frombuffer(packed, "<u4").tolist()
    elements = naive(values, p)
    for i, word in enumerate(words):
        assert word == sum(1 << j for j in range(32) if elements[32 * i + j] > 0)


@pytest.mark.parametrize(("fields", "bits"), [(2, 2), (3, 2), (4, 1), (6, 1)])
def test_index(fields: int, bits: int) -> None:
    """Weight i + j * steps of a run lies at bit bits * j of byte i; channels that are not there are 0."""
    values = np.random.default_rng(1).choice([-1, 1] if bits == 1 else [-2, -1, 0, 1], (18, 2, 7))
    steps = -(-7 // fields)
    p = Packing("panels", "index", 18, 2, 7, steps * fields, 16, fields, bits=bits)
    packed = pack_weights(values, p)
    assert len(packed) == p.nbytes
    panels = np.frombuffer(packed, np.uint8).reshape(2, 2, steps, 16)
    for n, run, i in np.ndindex(32, 2, steps):
        chosen = [values[n, run, i + j * steps] if n < 18 and i + j * steps < 7 else 0 for j in range(fields)]
        assert panels[n // 16, run, i, n % 16] == sum(
            (w > 0 if bits == 1 else int(w) & 3) << bits * j for j, w in enumerate(chosen)
        )


@pytest.mark.parametrize(("bits", "weight"), [(2, 2), (2, -3), (1, 0), (1, 2)])
def test_index_of_weights_beyond_its_bits(bits: int, weight: int) -> None:
    with pytest.raises(NumericsError, match=f"do not fit an index of {bits} bits"):
        pack_weights(np.array([[1, weight, 1]]), Packing("panels", "index", 1, 1, 3, 3, 16, 3, bits=bits))


def test_index_of_scaled_weights_beyond_its_bits() -> None:
    packing = Packing(
        "panels", "index", 1, 1, 3, 3, 16, 3, channels=3, group_size=3, group_scale=np.array([[2]], np.uint8), bits=1
    )
    with pytest.raises(NumericsError, match="do not fit an index of 1 bits"):
        pack_weights(np.array([[1, -1, 1]]), packing)


def test_split_steps() -> None:
    values = np.random.default_rng(2).integers(-128, 128, (20, 8))
    plain = Packing("panels", "i8", 20, 1, 8, 8, 16, 4)
    split, offsets = np.array([[False, True], [True, False]]), np.array([70, 50], np.int32)
    p = Packing("panels", "i8", 20, 1, 8, 8, 16, 4, split=split, offsets=offsets)
    blocks = weight_blocks(values, plain)
    packed = pack_weights(values, p)
    assert len(packed) == p.table_at == 6 * 64
    assert p.nbytes == 6 * 64 + 4 * (3 + 6)
    assert p.table.tolist() == [0, 3, 6, 70, 50, 50, 70, 70, 50]
    got = np.frombuffer(packed, np.int8).reshape(6, 16, 4)
    half = blocks // 2
    want = [blocks[0, 0], half[0, 1], blocks[0, 1] - half[0, 1], half[1, 0], blocks[1, 0] - half[1, 0], blocks[1, 1]]
    assert (got == np.array(want)).all()


def test_windows_of_groups() -> None:
    """8 groups of 2 outputs and 3 inputs: block 1 (outputs 16..) does not exist, block 0 sees all 24."""
    values = np.random.default_rng(3).integers(1, 100, (16, 2 * 3))
    p = Packing("panels", "i8", 16, 2, 3, 24, 16, 4, groups=8, window=24, window_start=np.array([0], np.int32))
    blocks = weight_blocks(values, p).transpose(0, 2, 1, 3).reshape(16, 2, 24)
    for n in range(16):
        want = np.zeros((2, 24), int)
        want[:, n // 2 * 3 : n // 2 * 3 + 3] = values[n].reshape(2, 3)
        assert (blocks[n] == want).all()


def test_window_that_starts_before_its_group() -> None:
    values = np.arange(1, 33).reshape(32, 1)
    p = Packing("panels", "i8", 32, 1, 1, 20, 16, 4, groups=32, window=18, window_start=np.array([0, 14], np.int32))
    blocks = weight_blocks(values, p).transpose(0, 2, 1, 3).reshape(32, 20)
    assert blocks[0, 0] == 1
    assert blocks[16, 2] == 17
    assert np.count_nonzero(blocks) == 32


def test_group_scales_multiply() -> None:
    values = np.ones((2, 6), int)
    scale = np.array([[1, 2], [3, 4]], np.uint8)
    p = Packing("panels", "i8", 2, 1, 6, 8, 16, 4, channels=6, group_size=4, group_scale=scale)
    blocks = weight_blocks(values, p)[0].transpose(1, 0, 2).reshape(16, 8)
    assert blocks[0].tolist() == [1, 1, 1, 1, 2, 2, 0, 0]
    assert blocks[1].tolist() == [3, 3, 3, 3, 4, 4, 0, 0]


def test_group_scales_repeat_for_each_tap_of_a_merged_row() -> None:
    p = Packing("panels", "i8", 1, 1, 8, 8, 16, 4, channels=4, group_size=2, group_scale=np.array([[5, 7]], np.uint8))
    assert weight_blocks(np.ones((1, 8), int), p)[0].transpose(1, 0, 2).reshape(16, 8)[0].tolist() == [5, 5, 7, 7] * 2


@pytest.mark.parametrize("parts", [1, 2])
def test_taps(parts: int) -> None:
    values = np.random.default_rng(4).integers(-300, 300, (5, 9))
    p = Packing("taps", "i16", 5, 9, 1, 1, 16, 1, parts)
    packed = np.frombuffer(pack_weights(values, p), np.int16).reshape(9, parts, 16)
    assert packed.nbytes == p.nbytes
    assert (packed[..., 5:] == 0).all()
    total = packed[:, 0] if parts == 1 else 256 * packed[:, 0] + packed[:, 1]
    assert (total[:, :5] == values.T).all()


def test_split_parts_cover_every_int16() -> None:
    values = np.arange(-32768, 32768)
    high, low = split_parts(values)
    assert (256 * high + low == values).all()
    assert (low.min(), low.max(), high.min(), high.max()) == (-128, 127, -128, 128)


def test_values_that_do_not_fit() -> None:
    with pytest.raises(NumericsError, match="do not fit i8"):
        pack_weights(np.full((1, 4), 128), Packing("panels", "i8", 1, 1, 4, 4, 16, 4))
