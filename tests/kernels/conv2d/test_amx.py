"""Kernels on AMX tiles: which pixels they take, and the code for the real target, which no CPU here needs to run."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise, product

import numpy as np
import pytest

from lowbit.backend.codegen import generate
from lowbit.errors import ConfigError, UnsupportedPrecision
from lowbit.kernels.conv2d.amx.cases import SHAPES
from lowbit.kernels.conv2d.amx.plan import LONGEST, plan_of
from lowbit.kernels.conv2d.amx.walk import walk_of
from lowbit.kernels.conv2d.cases import Operands, Shape, forced, operands
from lowbit.kernels.conv2d.forms import FORMS
from lowbit.kernels.conv2d.forms.amx import FORMS as AMX_FORMS
from lowbit.kernels.conv2d.selection.select import option
from lowbit.kernels.conv2d.spec import ConvSpec
from lowbit.kernels.layout import Layout
from lowbit.reporting.machine_code import Function, disassemble
from lowbit.targets import TARGETS

AMX, BYTES_ALONE = TARGETS["x86-64-v4-amx-bf16"], TARGETS["x86-64-v4-amx"]
EMULATED, AVX2 = TARGETS["x86-64-v3-amx-emulated"], TARGETS["x86-64-v3"]


def spec_of(name: str, form: str = "u8_amx") -> ConvSpec:
    shape, tile, unit = SHAPES[name]
    types = operands(FORMS[form])
    spec = forced(types.problem(shape), types.weights(shape, "random"), form, tile, parts=types.parts, unit=unit).spec
    assert isinstance(spec, ConvSpec)
    return spec


def code(spec: ConvSpec) -> tuple[Function, Function, Function]:
    """(kernel, begin, end) for the real target."""
    found = disassemble(generate(spec, AMX).object)
    symbol = spec.symbol(AMX.name)
    return found[symbol], found[f"{symbol}__begin"], found[f"{symbol}__end"]


def names(function: Function) -> list[str]:
    return [instruction.mnemonic for instruction in function.instructions]


@pytest.mark.parametrize("form", [form.name for form in AMX_FORMS])
@pytest.mark.parametrize("name", SHAPES)
def test_tiles_are_configured_once_and_nothing_is_called(name: str, form: str) -> None:
    shape, types = SHAPES[name][0], operands(FORMS[form])
    if not FORMS[form].fits(types.problem(shape), types.weights(shape, "random")):
        pytest.skip("not for this form")
    kernel, begin, end = code(spec_of(name, form))
    assert names(begin).count("ldtilecfg") == names(end).count("tilerelease") == 1
    assert not {"ldtilecfg", "tilerelease"} & set(names(kernel))
    assert not any(name.startswith("call") for function in (kernel, begin, end) for name in names(function))
    assert any(name.startswith("tdpb") for name in names(kernel))


@pytest.mark.parametrize(("tile", "loads"), [((28, 32), 4), ((56, 16), 5), ((14, 64), 5)])
def test_a_step_is_four_products(tile: tuple[int, int], loads: int) -> None:
    """The loop over K has the loads and the products of the plan, no vectors, and nothing of them on the stack."""
    shape = Shape(256, 64, 14, 14, kernel=(3, 3), padding=(1, 1, 1, 1))
    w = np.ones(shape.weight_shape, np.int64)
    spec = forced(shape.problem("u8", "i8", 255), w, "u8_amx", tile, unit=(7, 4)).spec
    assert isinstance(spec, ConvSpec)
    kernel, _, _ = code(spec)
    loop = kernel.hot_loop()
    of_loop = [i.mnemonic for i in loop]
    steps = of_loop.count("tdpbusd") // 4
    assert steps >= 1
    assert of_loop.count("tdpbusd") == 4 * steps
    assert of_loop.count("tileloadd") == loads * steps
    assert sum(i.on_stack for i in loop) <= steps, "more than the loop's end and an address of a prefetch is on the stack"
    assert not any(re.search(r"%[xyz]mm", i.operands) for i in loop)


@pytest.mark.parametrize(("tile", "loads"), [((28, 32), 8), ((56, 16), 14), ((14, 64), 14)])
def test_a_step_of_halves_is_twelve_products(tile: tuple[int, int], loads: int) -> None:
    """Three for each sum, four apart: none waits for the one before it.  What its tiles hold already is not loaded again."""
    types, shape = operands(FORMS["bf16x3_amx"]), Shape(256, 64, 14, 14, kernel=(3, 3), padding=(1, 1, 1, 1))
    spec = forced(types.problem(shape), types.weights(shape, "random"), "bf16x3_amx", tile, parts=2, unit=(7, 4)).spec
    assert isinstance(spec, ConvSpec)
    loop = code(spec)[0].hot_loop()
    sums = [i.operands[-1] for i in loop if i.mnemonic == "tdpbf16ps"]
    steps = len(sums) // 12
    assert steps >= 1
    assert len(sums) == 12 * steps
    assert sum(i.mnemonic == "tileloadd" for i in loop) == loads * steps
    assert all(len(set(sums[at : at + 4])) == 4 for at in range(0, len(sums), 4))
    assert not any(re.search(r"%[xyz]mm", i.operands) for i in loop)


def test_the_products_of_four_tiles_are_in_one_order_for_all_plans() -> None:
    """Sums 0-3, inputs 4 and 5, weights 6 and 7: what the configuration gives rows to."""
    for name in SHAPES:
        kernel, _, _ = code(spec_of(name))
        for i in kernel.instructions:
            if i.mnemonic == "tdpbusd":  # AT&T: weights, inputs, sums
                weights, inputs, sums = (int(digit) for digit in re.findall(r"%tmm(\d)", i.operands))
                assert (weights in (6, 7), inputs in (4, 5), sums in (0, 1, 2, 3)) == (True, True, True), i


@pytest.mark.parametrize("name", SHAPES)
def test_the_configuration_has_the_rows_of_the_plan(name: str) -> None:
    from lowbit.kernels.intrinsics.amx import Tiles

    rows = plan_of(spec_of(name)).rows
    words = np.array(Tiles(True).configuration(rows, 6), np.int32).view(np.uint8)
    assert words[0] == 1
    assert words[16:32].view(np.uint16).tolist() == [64] * 8
    assert words[48:56].tolist() == [rows] * 6 + [16] * 2
    assert not words[[*range(1, 16), *range(32, 48), *range(56, 64)]].any()


@pytest.mark.parametrize(
    ("n", "h", "w", "halo", "stride"),
    [
        (1, 7, 7, 0, (1, 1)),
        (1, 7, 7, 1, (1, 1)),
        (3, 5, 9, 1, (1, 1)),
        (2, 6, 4, 0, (2, 2)),
        (1, 1, 50, 0, (1, 1)),
        (4, 1, 1, 2, (1, 1)),
    ],
)
def test_every_pixel_is_in_a_tile_where_the_walk_says(n: int, h: int, w: int, halo: int, stride: tuple[int, int]) -> None:
    src = Layout(n, h * stride[0], w * stride[1], 64, 64, "u8", halo, halo, halo, halo)
    dst = Layout(n, h, w, 64, 64)
    tried = 0
    for rows in range(1, 17):
        walk = walk_of(src, dst, stride, rows)
        if walk is None:
            continue
        tried += 1
        seen = set()
        for tile in range(walk.tiles):
            line, index = divmod(tile, walk.tiles_a_line)
            start = min(index * rows, walk.length - rows)
            offsets = []
            for position in range(start, start + rows):
                if walk.grid is None:
                    b, y, x = line // h, line % h, position
                else:
                    row, x = divmod(position, walk.grid[1])
                    b, y = divmod(row, walk.grid[0])
                if walk.grid is None or (y < h and x < w):
                    seen.add((b, y, x))
                    offsets.append((position - start, src.offset(b, y * stride[0], x * stride[1], 0)))
            # all rows of a tile are equally far apart in the input
            assert len({at - row * stride[1] * src.stride for row, at in offsets}) <= 1
        assert seen == set(product(range(n), range(h), range(w))), rows
    assert tried


def test_results_are_written_between_the_products() -> None:
    """Of short sums: from one product to the next lie vector instructions, and none of their registers is on the stack."""
    spec = spec_of("written between products")
    assert plan_of(spec).interleaved
    assert not plan_of(replace(spec, m_tiles=1)).interleaved  # with nothing before it
    assert not plan_of(spec_of("two by two, row by row")).interleaved  # long sums
    kernel, _, _ = code(spec)
    loop = kernel.hot_loop()
    assert not any(i.on_stack and re.search(r"%[xyz]mm", i.operands) for i in loop)
    products = [k for k, i in enumerate(loop) if i.mnemonic == "tdpbusd"]
    assert len(products) == 8
    for first, second in pairwise(products):
        assert any("%zmm" in i.operands for i in loop[first:second])


@pytest.mark.parametrize(("form", "fields"), [("u8_amx_i4", 2), ("u8_amx_i2", 4)])
def test_narrow_weights_are_unpacked_between_the_products(form: str, fields: int) -> None:
    """A half or a quarter of a step's bytes are read, and all of them are stored where a later one loads its tile."""
    kernel, _, _ = code(spec_of("few pixels over the halo", form))
    loop = [i for i in kernel.hot_loop() if "%zmm" in i.operands or "tile" in i.mnemonic or i.mnemonic.startswith("tdp")]
    steps = sum(i.mnemonic == "tdpbusd" for i in loop) // 4
    assert steps >= 1
    assert sum(i.mnemonic == "tileloadd" for i in loop) == 5 * steps
    assert sum(i.mnemonic.startswith("vmov") and i.writes_memory for i in loop) == 16 * steps
    assert sum("zmm" in i.operands and "(" in i.operands and not i.writes_memory for i in loop) == 16 // fields * steps
    assert not any(i.on_stack for i in loop)


def test_targets_without_tiles_are_refused() -> None:
    """By us: LLVM ends the process."""
    with pytest.raises(UnsupportedPrecision, match="AMX tiles need amx-int8 and amx-tile, which x86-64-v3 lacks"):
        generate(spec_of("stride 2"), AVX2)
    with pytest.raises(UnsupportedPrecision, match="AMX tiles need amx-bf16 and amx-tile, which x86-64-v4-amx lacks"):
        generate(spec_of("stride 2", "bf16x3_amx"), BYTES_ALONE)
    with pytest.raises(ConfigError, match="avx512vnni cannot be emulated; what can: amx-bf16, amx-int8, amx-tile"):
        replace(AVX2, emulated=frozenset({"avx512vnni"}))


def test_sums_longer_than_int32_holds_are_refused() -> None:
    types = Operands("i16", "i16", 32768, -32768, 32767, "i16")
    for k, fits in ((LONGEST, True), (LONGEST + 1, False)):
        shape = Shape(k, 1, 1, 4)
        assert FORMS["i16_amx"].fits(types.problem(shape), np.ones(shape.weight_shape, np.int64)) == fits
    assert LONGEST * 2 * 128 * 255 <= 2**31 - 1 < (LONGEST + 1) * 2 * 128 * 255


def test_emulated_tiles_are_calls_of_the_same_number() -> None:
    spec = spec_of("two by two, row by row")
    real, emulated = (generate(spec, target).tir for target in (AMX, EMULATED))
    for name in ("tileloadd64", "tilestored64", "tdpbusd", "tilezero"):
        assert real.count(f"llvm.x86.{name}") == emulated.count(f"lb_{name}") > 0
    assert "llvm.x86.t" not in emulated


@pytest.mark.parametrize("kind", ["grouped", "plain"])
def test_units_share_out_all_tiles(kind: str) -> None:
    shape = Shape(64, 320, 7, 7, kernel=(3, 3), padding=(1, 1, 1, 1), groups=4 if kind == "grouped" else 1)
    choice = option(FORMS["u8_amx"], shape.problem("u8", "i8", 255), np.ones(shape.weight_shape, np.int64), AMX)
    assert choice is not None
    spec = choice.spec
    assert isinstance(spec, ConvSpec)
    assert spec.units == -(-plan_of(spec).groups // spec.m_tiles) * -(-spec.blocks // spec.n_blocks)
    assert spec.n_blocks % plan_of(spec).panels == 0


def test_packing_is_what_the_instructions_do() -> None:
    """LLVM knows vpackssdw and vpackuswb: of constants it computes the result, which must be the order we undo."""
    from tvm import tirx
    from tvm.script import tirx as T

    from lowbit.backend.codegen import compile_function
    from lowbit.kernels.abi import kernel_function
    from lowbit.kernels.intrinsics.x86 import packssdw, packuswb
    from lowbit.kernels.packed_bytes import in_order
    from lowbit.kernels.vectors import store

    def numbers(first: int) -> object:
        return tirx.Shuffle([T.int32(first + i) for i in range(16)], [tirx.IntImm("int32", i) for i in range(16)])

    with kernel_function("packing", o=("uint8", 64)) as kernel:
        whole = packuswb(packssdw(numbers(0), numbers(16)), packssdw(numbers(32), numbers(48)))
        store(kernel.o, 0, in_order(whole), 64)
    text = compile_function(kernel.func, "packing", AMX).llvm
    stored = re.search(r"store <64 x i8> (<.*?>|c\"(.*?)\")", text)
    assert stored, text
    assert constant(stored[1]) == list(range(64))


def constant(text: str) -> list[int]:
    """The numbers of a constant vector of LLVM."""
    return [int(number) for number in re.findall(r"i8 (-?\d+)", text)]
