"""Convolutions by tensor cores: cases of every form equal their reference on the emulation, and planted faults are found."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lowbit.backend.cuda.text import CudaText, cuda_text
from lowbit.emulate.cuda.emulation import emulation_of
from lowbit.errors import LowbitError, UnsupportedPrecision
from lowbit.kernels.case import Case
from lowbit.kernels.conv2d.cases import Operands, Shape, case_of, operands
from lowbit.kernels.conv2d.cases import cases as all_cases
from lowbit.kernels.conv2d.forms import FORMS
from lowbit.kernels.conv2d.forms.form import Form
from lowbit.kernels.conv2d.forms.tensor_core import FORMS as TENSOR_FORMS
from lowbit.kernels.conv2d.forms.tensor_core import TensorForm
from lowbit.kernels.conv2d.pack import pack_weights, weight_blocks
from lowbit.kernels.conv2d.selection.select import choose, describe, option
from lowbit.kernels.gpu.conv2d.atom import fragment_order
from lowbit.kernels.gpu.conv2d.tiling import SHARED_BYTES, shares_of, steps_of, threads_of
from lowbit.kernels.layout import Layout
from lowbit.kernels.named import named
from lowbit.kernels.table import KERNELS
from lowbit.targets import TARGETS, Target
from tests.kernels.gpu.harness import check_cases, wrong_of
from tests.share import share

GPUS = [TARGETS[f"cuda-sm{n}"] for n in (75, 80, 90)]
FLOATS, DOTS = FORMS["f32_threads"], FORMS["u8_dp4a"]
needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="CUDA text is run on a CPU by way of g++")


def _first(form: Form) -> Target:
    """A target that has it: the text is the same on all."""
    return next(target for target in GPUS if form.available(target))


@needs_compiler
@pytest.mark.parametrize("form", [*TENSOR_FORMS, DOTS, FLOATS, FORMS["f16"]], ids=lambda form: form.name)
def test_cases(form: Form) -> None:
    target = _first(form)
    check_cases(share([case for case in all_cases(target) if case.spec.form == form.name], 5), target, "-O0")


def test_a_staged_tile_of_48_channels_is_refused() -> None:
    form = FORMS["u8_mma16832_staged"]
    types, shape = operands(form), Shape(36, 96, 1, 3)
    choice = describe(form, types.problem(shape), types.weights(shape, "random"), (8, 48), (1, 1), None, 1)
    with pytest.raises(ValueError, match="tiles have a power of two of channels, not 48"):
        cuda_text(choice.spec, _first(form))


def test_every_gpu_has_forms_for_bytes_nibbles_and_bits() -> None:
    have = {target.name: {form.name for form in TENSOR_FORMS if form.available(target)} for target in GPUS}
    assert {"u8_mma8816", "w4_mma8816", "u4_mma8832", "bit_mma128_xor"} <= have["cuda-sm75"]
    assert {"u8_mma16832_staged", "w4_mma16832", "u4_mma16864", "bit_mma256_and"} <= have["cuda-sm80"]
    assert {"u8_mma16832_staged", "w4_mma16832", "bit_mma256_and"} <= have["cuda-sm90"]
    assert not {name for name in have["cuda-sm90"] if name.startswith("u4_")}  # there they are emulated, and slower than bytes
    assert not any(form.available(TARGETS["x86-64-v3"]) for form in TENSOR_FORMS)


STAGED = FORMS["u8_mma16832_staged"]
SHAPE = Shape(64, 64, 9, 8, kernel=(3, 3), padding=(1, 1, 1, 1))


def _staged_case() -> Case:
    """Sums are multiples of 64, multipliers powers of two: many results lie exactly between two integers."""
    types = operands(STAGED)
    problem, w = types.problem(SHAPE), np.random.default_rng(0).choice([-64, 0, 64], SHAPE.weight_shape)
    case = case_of("halves", problem, describe(STAGED, problem, w, (32, 32), (2, 2)), w)
    for scales, bias in ((case.memory["s"], case.memory["b"][0]), (case.values["s"], case.values["b"])):
        assert scales is not None
        assert bias is not None
        scales[: SHAPE.n] = np.exp2(np.floor(np.log2(scales[: SHAPE.n])))
        bias[...] = bias // 64 * 64
    return case


FAULTS = {
    "no barrier": ("__syncthreads();", ""),
    "wait one group short": ("cp.async.wait_group 2;", "cp.async.wait_group 3;"),
    "operands of mma swapped": ("{%4, %5, %6, %7}, {%8, %9}", "{%4, %6, %5, %7}, {%8, %9}"),
    "inputs of mma swapped": ("{%4, %5, %6, %7}, {%8, %9}", "{%4, %5, %6, %7}, {%9, %8}"),
    "round half away": ("__float2int_rn(", "(int)roundf("),
    "round toward zero": ("__float2int_rn(", "(int)("),
}


@needs_compiler
def test_faults_are_found() -> None:
    """In the text of the staged kernel; as it is, it is right under every order of blocks and threads."""
    case, target = _staged_case(), TARGETS["cuda-sm80"]
    text = cuda_text(case.spec, target)
    broken = {}
    for number, (old, new) in enumerate(FAULTS.values()):
        assert old in text.text, old
        renamed = text.text.replace(old, new).replace(text.symbol, f"{text.symbol}_{number}")
        broken[f"{text.symbol}_{number}"] = renamed.replace("tvm_builtin_", f"fault{number}_")
    with tempfile.TemporaryDirectory() as folder:
        emulation = emulation_of({text.symbol: text.text} | broken, Path(folder))
        assert [wrong_of(case, text, emulation, seed) for seed in range(1, 6)] == [""] * 5
        for name, symbol in zip(FAULTS, broken, strict=True):
            faulty = CudaText(symbol, text.launch, broken[symbol], "")
            try:
                found = any(wrong_of(case, faulty, emulation, seed) for seed in (1, 2, 3))
            except LowbitError:
                found = True
            assert found, name


HALF_FAULTS = {
    "nothing masked": ("(uint)0)", "(uint)4294967295)"),
    "operands of mma swapped": ("{%4, %5, %6, %7}, {%8, %9}", "{%4, %6, %5, %7}, {%8, %9}"),
    "inputs of mma swapped": ("{%4, %5, %6, %7}, {%8, %9}", "{%4, %5, %6, %7}, {%9, %8}"),
    "rounded toward zero": ("lowbit_float_to_half(", "emu_cut("),
}


@needs_compiler
def test_faults_of_halves_are_found() -> None:
    """Of a kernel of an image, whose rows leave a part of a step to what lies behind them, by warps that share sums: there it is
    NaN.  Cut off instead of rounded, results leave the bound of the tightest of them, sums of one product."""
    form, target = FORMS["f16_mma16816"], TARGETS["cuda-sm80"]
    types = operands(form)
    shape = Shape(3, 16, 12, 9, kernel=(7, 7), padding=(3, 3, 3, 3))
    problem, w = types.problem(shape), types.weights(shape, "random")
    problem = replace(problem, src=replace(problem.src, stride=4))
    case = case_of("image", problem, describe(form, problem, w, (8, 16), (1, 1)), w)
    assert isinstance(case.bound, np.ndarray)
    assert shares_of(case.spec) > 1
    single = Shape(16, 16, 8, 8)
    one, v = types.problem(single), np.zeros(single.weight_shape, np.float32)
    v[:, 0, 0, 0] = types.weights(single, "random")[:, 0, 0, 0]
    rounded = case_of("one product", one, describe(form, one, v, (8, 16), (1, 1)), v)
    rounded.memory["b"][...] = 0
    values = {**rounded.values, "b": np.zeros(16)}
    want = np.asarray(named(KERNELS["conv2d"].reference)(rounded.spec, **values))
    rounded = replace(rounded, values=values, bound=np.abs(want) * 2.0**-11 * 1.001 + 2.0**-25)
    texts = {"image": cuda_text(case.spec, target), "one product": cuda_text(rounded.spec, target)}
    cut = (
        "static inline ushort emu_cut(float v) { ushort h = lowbit_float_to_half(v);"
        " return fabsf(lowbit_half_to_float(h)) > fabsf(v) ? h - 1 : h; }\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        plain = emulation_of({text.symbol: text.text for text in texts.values()}, Path(folder))
        assert wrong_of(case, texts["image"], plain) == wrong_of(rounded, texts["one product"], plain) == ""
    for name, (old, new) in HALF_FAULTS.items():
        tried, text = (rounded, texts["one product"]) if name == "rounded toward zero" else (case, texts["image"])
        assert old in text.text, (name, old)
        broken = CudaText(text.symbol, text.launch, text.text.replace(old, new), "")
        with tempfile.TemporaryDirectory() as folder:
            given = cut + broken.text if name == "rounded toward zero" else broken.text
            emulation = emulation_of({text.symbol: given}, Path(folder))
            try:
                found = any(wrong_of(tried, broken, emulation, seed) for seed in (1, 2, 3))
            except LowbitError:
                found = True
        assert found, name


@pytest.mark.parametrize("form", TENSOR_FORMS, ids=lambda form: form.name)
@pytest.mark.parametrize("nr", [16, 32, 64])
def test_fragments_are_as_ptx_says(form: TensorForm, nr: int) -> None:
    """Element by element: what register of which lane holds which weight."""
    atom, k = form.atom, form.k_group
    order = fragment_order(atom, nr, k)
    assert sorted(order) == list(range(len(order)))
    per_word = 4 if atom.w_bits != 4 else 8
    words = nr * k * atom.w_bits // 32 // 32  # of a lane
    piece = min(4, words)
    for i, lane, v, half in np.ndindex(nr // atom.rows, 32, atom.w_words(k), atom.halves):
        g, t = divmod(lane, 4)
        number = (i * atom.w_words(k) + v) * atom.halves + half
        at = (number // piece * 32 + lane) * piece + number % piece
        found = order[at * per_word : (at + 1) * per_word]
        channel = g * (nr // 8) + i * atom.halves + half
        if atom.w_bits == 1:  # four bytes of 32 values of a channel
            assert list(found) == [((t * 2 + v) * nr + channel) * 4 + byte for byte in range(4)]
        elif atom.w_bits == 16:  # two values, low byte first
            value = channel * k + t * (k // 4) + 2 * v
            assert list(found) == [2 * value + byte for byte in range(4)]
        else:
            quarter = t * (k // 4) + v * per_word
            expected = range(per_word) if per_word == 4 else [byte + 4 * high for byte in range(4) for high in range(2)]
            assert list(found) == [channel * k + quarter + e for e in expected]
    twice = fragment_order(atom, nr, k, parts=2)
    assert list(twice) == [*order, *(order + len(order))]


def test_panels_in_fragment_order() -> None:
    problem = operands(FORMS["u8_mma16832"]).problem(SHAPE)
    w = np.random.default_rng(0).integers(-8, 8, SHAPE.weight_shape)
    for name in ("u8_mma16832", "w4_mma16832"):
        packing = describe(FORMS[name], problem, w, (16, 32), (1, 1)).packing
        plain = weight_blocks(w.reshape(64, -1), packing).reshape(-1, len(packing.shuffle))[:, packing.shuffle]
        packed = np.frombuffer(pack_weights(w.reshape(64, -1), packing), np.int8)
        assert packed.nbytes == packing.nbytes == w.size // (2 if name[0] == "w" else 1)
        if name[0] == "w":
            assert ((packed << 4) >> 4 == plain.reshape(-1)[::2]).all()
            assert (packed >> 4 == plain.reshape(-1)[1::2]).all()
        else:
            assert (packed == plain.reshape(-1)).all()


def test_steps_are_shared_where_tiles_are_few() -> None:
    """A layer of 49 pixels has few tiles; eight warps share each, and every step belongs to one of them."""
    shape = Shape(512, 512, 7, 7, kernel=(3, 3), padding=(1, 1, 1, 1))
    problem, target = operands(FORMS["u8_mma16832"]).problem(shape), TARGETS["cuda-sm90"]
    spec = choose(problem, np.ones(shape.weight_shape, np.int64), target).spec
    assert shares_of(spec) > 1
    assert (shares_of(spec) - 1) * spec.depth < steps_of(spec) <= shares_of(spec) * spec.depth
    assert spec.units * threads_of(spec) // 32 > 500
    large = replace(problem, src=replace(problem.src, n=256), dst=replace(problem.dst, n=256))
    assert shares_of(choose(large, np.ones(shape.weight_shape, np.int64), target).spec) == 1


def test_forms_follow_the_operands() -> None:
    """Weights of 4 bits stay two in a byte; inputs of 4 bits, too, multiply natively where that is fast; bits are counted."""

    def chosen(types: Operands, target: str, shape: Shape = SHAPE) -> str:
        return choose(types.problem(shape), types.weights(shape, "random"), TARGETS[target]).spec.form

    wide = Shape(256, 256, 14, 14, 8, kernel=(3, 3), padding=(1, 1, 1, 1))
    for target in ("cuda-sm75", "cuda-sm80", "cuda-sm90"):
        assert chosen(Operands("u8", "i8", 255, -128, 127), target, wide).startswith("u8_mma")
        assert chosen(Operands("u8", "i4", 255, -8, 7), target, wide).startswith("w4_mma")
        assert chosen(Operands("b1", "b1", 1, -1, 1, acc_shift=1), target, wide).startswith("bit_mma")
        assert chosen(Operands("i16", "i16", 32767, -32768, 32767, "i16"), target, wide).startswith("i16_mma")
        assert chosen(Operands("u8", "i16", 255, -32768, 32767), target, wide).startswith("u8i16_mma")
        assert chosen(Operands("f32", "f32", 0, 0, 0, "f32"), target, wide) == "f32_threads"
        assert chosen(Operands("f16", "f16", 0, 0, 0, "f16"), target, wide).startswith("f16_mma")
        assert chosen(Operands("f16", "f16", 0, 0, 0, "f16"), target, Shape(64, 64, 9, 9, groups=4)) == "f16"
    assert chosen(Operands("u4", "i4", 15, -8, 7), "cuda-sm75", wide) == "u4_mma8832"
    assert chosen(Operands("u4", "i4", 15, -8, 7), "cuda-sm80", wide).startswith("u4_mma16864")
    assert chosen(Operands("u4", "i4", 15, -8, 7), "cuda-sm90", wide).startswith("w4_mma")


def test_nibbles_need_room_for_sixteen_times_their_sum() -> None:
    """2^31 / 16 / 255 / 8: 65,794 weights of -8 are one too many."""
    layout = Layout(1, 1, 1, 65794, 65808)
    problem = replace(operands(FORMS["w4_mma16832"]).problem(Shape(16, 16)), src=layout)
    w = np.full((16, 1, 1, 65794), -8)
    assert option(FORMS["w4_mma16832"], problem, w, TARGETS["cuda-sm80"]) is None
    w[:, 0, 0, 0] = 0
    assert option(FORMS["w4_mma16832"], problem, w, TARGETS["cuda-sm80"]) is not None
    with pytest.raises(UnsupportedPrecision, match="could overflow"):
        describe(FORMS["w4_mma16832"], problem, np.full_like(w, -8), (8, 16), (1, 1))


@pytest.mark.parametrize("batch", [1, 8, 128])
def test_tiles_fit_shared_memory_and_blocks(batch: int) -> None:
    for form in TENSOR_FORMS:
        for shape in (
            Shape(64, 64, 56, 56, batch),
            Shape(512, 2048, 7, 7, batch),
            Shape(512, 512, 7, 7, batch, kernel=(3, 3), padding=(1, 1, 1, 1)),
        ):
            types = operands(form)
            choice = option(form, types.problem(shape), types.weights(shape, "random"), _first(form))
            assert isinstance(form, TensorForm)
            assert choice is not None
            spec = choice.spec
            assert threads_of(spec) <= 256
            assert (
                4 * (shares_of(spec) - 1) * spec.m_tiles * spec.n_blocks * form.atom.tile_sums(spec.mr, spec.nr) <= SHARED_BYTES
            )
