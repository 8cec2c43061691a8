"""Weight memory after opening a library = the definition in kernels/packing.py, for every width and scheme."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from lowbit.backend.native import NativeNetwork
from lowbit.kernels.packing import Packing
from lowbit.lowering.program import Weights
from lowbit.numerics import QType
from lowbit.numerics.qtype import WIDTHS
from tests.backend.toy import built, dump_weights

BYTES = {"i8": 1, "i16": 2, "f32": 4}
SIGNED = [QType.parse("b1"), *(QType.parse(f"i{bits}") for bits in WIDTHS if bits > 1)]


def reference(weights: Weights) -> np.ndarray:
    """The bytes of one layer in memory, element by element from the documentation of Packing."""
    p = weights.packing
    values = np.asarray(weights.values).reshape(p.n, p.runs, p.run_len)
    if p.group_scale is not None:
        channel = np.arange(p.run_len) % p.channels
        values = values.astype(np.int64) * p.group_scale[:, None, channel // p.group_size]
    if p.shuffle is not None:
        whole = {"i4": "i8", "i2": "i8"}.get(p.element, p.element)
        plain = reference(replace(weights, packing=replace(p, shuffle=None, element=whole)))
        moved = plain.reshape(-1, len(p.shuffle))[:, p.shuffle].reshape(-1)
        if p.element == "i2":
            return (moved[::4] & 3) | (moved[1::4] & 3) << 2 | (moved[2::4] & 3) << 4 | (moved[3::4] & 3) << 6
        return (moved[::2] & 15) | (moved[1::2] & 15) << 4 if p.element == "i4" else moved
    if p.element == "bf16":
        return halves(values, p)
    if p.scheme == "taps":
        panels = np.zeros((p.runs * p.run_len, 1, p.nr), np.float64)
        panels[:, 0, : p.n] = values.reshape(p.n, -1).T
        parts = split(panels, p, axis=1)
        return raw(parts, p)
    run = np.zeros((p.blocks * p.nr, p.runs, p.run_pad), np.float64)
    for n in range(p.n):
        at = 0
        if p.window_start is not None:
            at = n // (p.n // p.groups) * p.run_len - int(p.window_start[n // p.nr])
        run[n, :, at : at + p.run_len] = values[n]
    # [block][lane][step][k_group] -> [block][step][part][lane][k_group]
    steps = run.reshape(p.blocks, p.nr, p.steps, p.k_group).transpose(0, 2, 1, 3)
    if p.split is not None and p.offsets is not None:
        out, starts, offsets = [], [0], []
        for block in range(p.blocks):
            for step in range(p.steps):
                w = steps[block, step]
                out += [w // 2, w - w // 2] if p.split[block, step] else [w]
                offsets += [p.offsets[step]] * (len(out) - len(offsets))
            starts.append(len(out))
        panels = raw(np.array(out), p)
        table = np.array([*starts, *offsets], "<i4").view(np.uint8)
        return np.concatenate([panels, np.zeros(-len(panels) % 64, np.uint8), table])
    if p.element == "bit":
        fields = np.where(run > 0, 1, 0).reshape(p.blocks, p.nr, p.steps, p.k_group).transpose(0, 2, 1, 3)
        return np.packbits(fields.astype(np.uint8).reshape(-1), bitorder="little")
    if p.element == "index":
        places = run.reshape(p.blocks, p.nr, p.runs, p.k_group, -1).astype(np.int64)  # step i: weights i + j * steps
        codes = np.where(places > 0, 1, 0) if p.bits == 1 else places & 3
        fields = sum(codes[:, :, :, j] << p.bits * j for j in range(p.k_group)).reshape(p.blocks, p.nr, p.steps)
        return np.ascontiguousarray(fields.transpose(0, 2, 1)).astype(np.uint8).reshape(-1)
    return raw(split(steps[:, :, None], p, axis=2), p)


def split(values: np.ndarray, p: Packing, axis: int) -> np.ndarray:
    if p.parts == 1:
        return values
    if p.element == "i8":  # the bytes as they are: the low one, which has no sign, is given as the int8 with these bits
        low = values % 256
        return np.concatenate([(values - low) / 256, low - 256 * (low > 127)], axis)
    low = (values + 128) % 256 - 128
    return np.concatenate([(values - low) / 256, low], axis)


def raw(values: np.ndarray, p: Packing) -> np.ndarray:
    kind = {"i8": "<i8", "i16": "<i8", "f32": "<f4"}[p.element]
    exact = values.astype(kind)
    if p.element != "f32":
        exact = exact.astype(f"<i{BYTES[p.element]}")
    return np.ascontiguousarray(exact).reshape(-1).view(np.uint8)


def check(layers: list[Weights], threads: int = 2) -> None:
    placed, at = [], 0
    for weights in layers:
        placed.append(replace(weights, offset=at))
        at += -(-weights.packing.nbytes // 64) * 64
    library, file = built(dump_weights(tuple(placed), at))
    network = NativeNetwork(library, file, threads)
    memory = network.run([])[0].view(np.uint8)
    network.close()
    expected = np.zeros(at, np.uint8)
    for weights in placed:
        content = reference(weights)
        assert len(content) == weights.packing.nbytes
        expected[weights.offset : weights.offset + len(content)] = content
    for weights in placed:
        here = slice(weights.offset, weights.offset + weights.packing.nbytes)
        np.testing.assert_array_equal(memory[here], expected[here], err_msg=weights.layer)
    np.testing.assert_array_equal(memory, expected)


def random_values(rng: np.random.Generator, qtype: QType, *shape: int) -> np.ndarray:
    """Random values that include both ends of the range."""
    values = rng.integers(qtype.qmin, qtype.qmax + 1, shape, np.int32)
    if qtype.bipolar:
        values = np.where(values > 0, 1, -1)
    values.reshape(-1)[:2] = [qtype.qmin, qtype.qmax][: values.size]
    return values.astype(qtype.dtype)


def containers(qtype: QType) -> list[int]:
    return [b for b in (*WIDTHS,) if b >= qtype.bits and (b == qtype.bits or b in (4, 8, 16))]


@pytest.mark.parametrize("qtype", [*SIGNED, QType.parse("u1"), QType.parse("u4"), QType.parse("u7")], ids=str)
def test_every_width_and_container(qtype: QType) -> None:
    """Odd sizes put rows at every bit offset; 600 positions cross the stretch the runtime decodes at a time."""
    rng = np.random.default_rng(qtype.bits)
    layers = []
    for bits, (n, runs, length), nr, group in itertools.product(
        containers(qtype), [(1, 1, 1), (17, 3, 13), (16, 1, 600), (33, 2, 67)], (16,), (4, 2, 1)
    ):
        element = "i16" if qtype.bits > 8 else "i8"
        pad = -(-length // group) * group
        packing = Packing("panels", element, n, runs, length, pad, nr, group)
        layers.append(Weights(f"{bits}-{n}-{group}", random_values(rng, qtype, n, runs, length), str(qtype), bits, packing, 0))
    check(layers)


@pytest.mark.parametrize("threads", [1, 3])
def test_two_parts_of_16_bit_weights(threads: int) -> None:
    rng = np.random.default_rng(0)
    i16 = QType.parse("i16")
    values = random_values(rng, i16, 20, 2, 30)
    values.reshape(-1)[:4] = -32768, 32767, -1, 128
    layers = [
        Weights("panels", values, "i16", 16, Packing("panels", "i8", 20, 2, 30, 32, 16, 2, parts=2), 0),
        Weights("wide", values, "i16", 16, Packing("panels", "i16", 20, 2, 30, 32, 16, 2, parts=2), 0),
        Weights("taps", values[:, :1, :9], "i16", 16, Packing("taps", "i16", 20, 9, 1, 1, 32, 1, parts=2), 0),
    ]
    check(layers, threads)


def halves(values: np.ndarray, p: Packing) -> np.ndarray:
    """[block][step][part][lane][k_group] of float32: bfloat16 h, and l of what h leaves."""
    run = np.zeros((p.blocks * p.nr, p.runs, p.run_pad), np.float32)
    run[: p.n, :, : p.run_len] = values
    parts = []
    for _ in range(2):
        bits = run.view(np.uint32)
        near = bits + 0x7FFF + (bits >> 16 & 1) >> 16 << 16
        parts.append((near >> 16).astype("<u2"))
        run = run - near.view(np.float32)
    steps = np.stack([part.reshape(p.blocks, p.nr, p.steps, p.k_group).transpose(0, 2, 1, 3) for part in parts], axis=2)
    return np.ascontiguousarray(steps).reshape(-1).view(np.uint8)


@pytest.mark.parametrize("threads", [1, 3])
def test_halves_of_floats(threads: int) -> None:
    """Runs shorter and longer than what is decoded at a time, channels that fill no block; ties, denormals, both zeros."""
    rng = np.random.default_rng(6)
    layers = []
    for n, runs, length, nr in ((33, 2, 67, 32), (16, 9, 40, 16), (70, 1, 1300, 64)):
        values = (rng.normal(size=(n, runs, length)) * 2.0 ** rng.integers(-130, 100, (n, runs, length))).astype(np.float32)
        values.reshape(-1)[:6] = 1 + 2**-8, 1 + 3 * 2**-8, -1 - 2**-8, 1e-45, -0.0, 0.0
        packing = Packing("panels", "bf16", n, runs, length, -(-length // 32) * 32, nr, 2, 2)
        layers.append(Weights(f"halves-{n}", values, "f32", 32, packing, 0))
    check(layers, threads)


@pytest.mark.parametrize("qtype", ["b1", "i2", "i3", "i4", "i5", "i8"])
def test_shuffled(qtype: str) -> None:
    """Whole steps, several, and parts of one are put in another order; elements of 4 and 2 bits meet afterwards."""
    rng, made = np.random.default_rng(5), QType.parse(qtype)
    layers = []
    for element in {"b1": ["bit", "i8", "i4", "i2"], "i2": ["i8", "i4", "i2"], "i5": ["i8"], "i8": ["i8"]}.get(
        qtype, ["i8", "i4"]
    ):
        for n, runs, length, groups in ((33, 2, 67, 1), (48, 3, 12, 4), (16, 1, 700, 1)):
            if groups > 1 and element == "bit":
                continue
            group, pad, starts = (32, -(-length // 256) * 256, None) if element == "bit" else (64, -(-length // 64) * 64, None)
            stretch = {"bit": 8 * 16 * 4}.get(element, 64 * 16)
            if groups > 1:
                starts = np.arange(3, dtype=np.int32) * 12
            packing = Packing(
                "panels", element, n, runs, length, pad, 16, group, 1, groups, 48 if groups > 1 else 0, starts,
                shuffle=rng.permutation(stretch).astype(np.int32),
            )  # fmt: skip
            layers.append(Weights(f"{element}-{n}", random_values(rng, made, n, runs, length), qtype, made.bits, packing, 0))
    check(layers)


def test_taps() -> None:
    rng = np.random.default_rng(1)
    layers = []
    for text, element in (("i8", "i8"), ("i3", "i8"), ("b1", "i8"), ("i16", "i16")):
        qtype = QType.parse(text)
        packing = Packing("taps", element, 50, 25, 1, 1, 64, 1)
        layers.append(Weights(text, random_values(rng, qtype, 50, 25), text, qtype.bits, packing, 0))
    floats = rng.normal(size=(50, 25)).astype(np.float32)
    layers.append(Weights("f32", floats, "f32", 32, Packing("taps", "f32", 50, 25, 1, 1, 64, 1), 0))
    check(layers)


def test_float_panels() -> None:
    values = np.random.default_rng(2).normal(size=(37, 3, 700)).astype(np.float32)
    starts = np.array([0, 1, 2], np.int32)
    grouped = values[:36, :, :5]
    check(
        [
            Weights("plain", values, "f32", 32, Packing("panels", "f32", 37, 3, 700, 700, 16, 1), 0),
            Weights(
                "grouped", grouped, "f32", 32,
                Packing("panels", "f32", 36, 3, 5, 10, 16, 1, groups=2, window=10, window_start=starts * 0), 0,
            ),
        ]
    )  # fmt: skip


@pytest.mark.parametrize("text", ["b1", "u1"])
def test_bits(text: str) -> None:
    rng = np.random.default_rng(3)
    qtype = QType.parse(text)
    layers = []
    for n, runs, length in [(1, 1, 1), (17, 3, 31), (16, 2, 64), (33, 9, 100)]:
        for container in (1, 4, 8):
            for group in (8, 32):
                packing = Packing("panels", "bit", n, runs, length, -(-length // group) * group, 16, group)
                name = f"{n}-{container}-{group}"
                layers.append(Weights(name, random_values(rng, qtype, n, runs, length), text, container, packing, 0))
    grouped = random_values(rng, qtype, 32, 9, 20)
    packing = Packing("panels", "bit", 32, 9, 20, 64, 16, 32, groups=4, window=40, window_start=np.array([0, 40], np.int32))
    layers.append(Weights("grouped", grouped, text, 1, packing, 0))
    check(layers)


@pytest.mark.parametrize(
    ("text", "fields", "bits"), [("i2", 2, 2), ("i2", 3, 2), ("b1", 2, 2), ("b1", 3, 2), ("b1", 4, 1), ("b1", 6, 1)]
)
def test_indices(text: str, fields: int, bits: int) -> None:
    """Runs shorter than a byte's weights, of every remainder, and beyond the stretch decoded at a time."""
    rng = np.random.default_rng(6)
    qtype = QType.parse(text)
    layers = []
    for n, runs, length in [(1, 1, 1), (70, 9, 2), (64, 4, 64), (33, 2, 65), (17, 1, 1700)]:
        for container in (qtype.bits, 4, 8):
            packing = Packing("panels", "index", n, runs, length, -(-length // fields) * fields, 64, fields, bits=bits)
            layers.append(Weights(f"{n}-{container}", random_values(rng, qtype, n, runs, length), text, container, packing, 0))
    check(layers)


@pytest.mark.parametrize("text", ["i8", "i4", "i5"])
def test_groups_windows_and_group_scales(text: str) -> None:
    """8 groups of 5 channels: blocks of 16 outputs straddle groups, windows start off any multiple of 4."""
    rng = np.random.default_rng(4)
    qtype = QType.parse(text)
    n, groups, length = 40, 8, 5
    starts = np.array([b * 16 // (n // groups) * length for b in range(3)], np.int32)
    window = 20
    layers = [
        Weights(
            "windows", random_values(rng, qtype, n, 9, length), text, qtype.bits,
            Packing("panels", "i8", n, 9, length, window, 16, 4, groups=groups, window=window, window_start=starts), 0,
        )
    ]  # fmt: skip
    for runs, taps in ((9, 1), (3, 3)):  # a run of one tap, and of a kernel row
        channels, size = 30, 8
        scale = rng.integers(1, 8, (n, -(-channels // size))).astype(np.uint8)
        packing = Packing(
            "panels", "i16", n, runs, taps * channels, -(-taps * channels // 4) * 4, 16, 4,
            group_size=size, channels=channels, group_scale=scale,
        )  # fmt: skip
        layers.append(Weights(f"scale{taps}", random_values(rng, qtype, n, runs, taps * channels), text, qtype.bits, packing, 0))
    scale = rng.integers(1, 16, (n, 1)).astype(np.uint8)
    taps = Packing("taps", "i16", n, 9, 1, 1, 48, 1, group_size=1, channels=1, group_scale=scale)
    layers.append(Weights("taps", random_values(rng, qtype, n, 9), text, qtype.bits, taps, 0))
    check(layers)


@pytest.mark.parametrize("text", ["i8", "i4", "b1"])
def test_split_steps(text: str) -> None:
    """Some steps in halves, others in each block; blocks without and blocks of nothing but halves."""
    rng = np.random.default_rng(5)
    qtype = QType.parse(text)
    n, runs, length = 72, 3, 18
    split = rng.random((5, runs * 5)) < np.array([[0.1], [0.0], [0.5], [1.0], [0.9]])
    offsets = rng.integers(0, 1 << 30, runs * 5).astype(np.int32)
    packing = Packing("panels", "i8", n, runs, length, 20, 16, 4, split=split, offsets=offsets)
    values = random_values(rng, qtype, n, runs, length)
    layers = [Weights(f"split{i}", values, text, qtype.bits, packing, 0) for i in range(2)]
    check(layers)
    starts = packing.table[:6]
    assert starts.tolist() == [0, *np.cumsum(15 + split.sum(1))]
    assert packing.table[6:][starts[1] : starts[2]].tolist() == offsets.tolist()
