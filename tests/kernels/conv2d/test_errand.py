"""A newcomer's errand: a form of one object, from outside, that compiles; and one whose unit is a tile of 16 x 16."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import lowbit
from lowbit.kernels.conv2d.cases import Shape, forced
from lowbit.kernels.conv2d.forms import FORMS
from lowbit.kernels.conv2d.forms.form import Form, Words
from lowbit.kernels.conv2d.selection.cost import Tiling, Workload
from lowbit.kernels.conv2d.selection.neon_tiles import NeonCost
from lowbit.kernels.conv2d.selection.problem import ConvProblem
from lowbit.kernels.conv2d.selection.select import choose
from lowbit.kernels.conv2d.selection.tiles import VectorCost
from lowbit.kernels.conv2d.spec import ConvSpec
from lowbit.reporting.forms_in_words import form_words
from lowbit.targets import Target, find_target
from tests.kernels.conv2d.cases import check

NATIVE = find_target("native")


def shifted(spec: ConvSpec, target: Target) -> Any:
    """acc + x * w, by 2 * x."""
    from tvm.script import tirx as T

    from lowbit.kernels.conv2d.arithmetic.inner_step import Arithmetic
    from lowbit.kernels.vectors import splat

    lanes = target.vector_bytes // 4
    whole = f"int32x{lanes}"
    return Arithmetic(
        lanes,
        whole,
        ("int8", lanes),
        splat(0, "int32", lanes),
        lambda kernel, at: T.broadcast(T.cast(kernel.x[at], "int32") * 2, lanes),
        lambda acc, a, w: acc + T.shift_right(a * T.cast(w, whole), splat(1, "int32", lanes)),
    )


TOY = Form(
    name="toy_shifted",
    k_group=1,
    element="i8",
    reads=("u8",),
    exact="twice a product is even",
    words=Words("toy", "bytes", "multiplies twice the input and halves the product"),
    arithmetic=f"{__name__}:shifted",
    x86=VectorCost(0.01, 4),
    neon=NeonCost(4, 0.01, 0.01, temporaries=4),
)


@dataclass(frozen=True, kw_only=True)
class _Squares(Form):
    """16 pixels x 16 channels at once, as matrix units have them: no inner step, a kernel of its own."""

    grouped: bool = False

    def holds(self, problem: ConvProblem, weights: np.ndarray) -> bool:
        plain = problem.kernel == problem.stride == (1, 1) and not (problem.src.halo or problem.dst.halo)
        return plain and problem.dst.pixels >= 16 and super().holds(problem, weights)

    def tilings(self, load: Workload, target: Target) -> list[Tiling]:
        return [Tiling(16, 16, 1, 1, 1.0)]


def squares(spec: ConvSpec, target: Target) -> Any:
    """A unit is one square."""
    from tvm.script import tirx as T
    from tvm.tirx.script import builder as TB

    from lowbit.kernels.abi import TIR_DTYPE, kernel_function
    from lowbit.kernels.epilogue import Epilogue, epilogue_pointers
    from lowbit.kernels.rows import divided
    from lowbit.kernels.vectors import convert, load, splat, store

    channels, k = spec.blocks * 16, spec.src.stride
    pointers = epilogue_pointers(channels, spec.dst, spec.residual, True, spec.wide)
    pointers |= {"x": (TIR_DTYPE[spec.src.dtype], spec.src.elements + 64), "w": ("int8", channels * k), "t": ("int32", 1)}
    with kernel_function(spec.symbol(target.name), **pointers) as kernel:
        epilogue = Epilogue(kernel, channels, spec.dst, spec.residual, True, spec.wide, spec.acc_shift, spec.sign)
        rows = [TB.alloc_buffer((16,), "int32", scope="global") for _ in range(16)]
        with TB.serial(kernel.lo, kernel.hi) as unit:
            column, row = divided(unit, spec.tiles)
            block, m0 = TB.Bind(column), TB.Bind(T.min(row * 16, T.int32(spec.dst.pixels - 16)))
            for buffer in rows:
                store(buffer, 0, splat(0, "int32"))
            with TB.serial(spec.src.c) as step:
                w = TB.Bind(convert(load(kernel.w, (block * spec.src.c + step) * 16), "int32"))
                for i, buffer in enumerate(rows):
                    x = T.broadcast(T.cast(kernel.x[(m0 + i) * k + step], "int32"), 16)
                    store(buffer, 0, load(buffer, 0) + x * w)
            columns = epilogue.columns(block * 16)
            for i, buffer in enumerate(rows):
                epilogue.write(load(buffer, 0), columns, (m0 + i) * spec.dst.stride + block * 16)
    return kernel.func


SQUARES = _Squares(
    name="toy_squares",
    k_group=1,
    element="i8",
    reads=("u8",),
    exact="int32 products and sums",
    words=Words("toy tile", "bytes", "multiplies 16 x 16 values"),
    builder=f"{__name__}:squares",
    x86=VectorCost(0.01, 4),
    neon=NeonCost(4, 0.01, 0.01, temporaries=4),
)


@pytest.fixture(autouse=True)
def _fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOWBIT_CACHE", str(tmp_path))


@pytest.mark.parametrize(("form", "shape"), [(TOY, Shape(21, 40, 5, 6, kernel=(3, 3))), (SQUARES, Shape(21, 40, 5, 7))])
def test_it_is_chosen_and_exact(form: Form, shape: Shape, monkeypatch: pytest.MonkeyPatch) -> None:
    w = np.random.default_rng(0).integers(-128, 128, shape.weight_shape)
    problem = shape.problem("u8", "i8", 255)
    before = choose(problem, w, NATIVE)
    monkeypatch.setitem(FORMS, form.name, form)
    choice = choose(problem, w, NATIVE)
    assert (before.spec.form != form.name, choice.spec.form) == (True, form.name)
    check(problem, choice, w, NATIVE)
    if form is TOY:  # which the shared builder computes in any tile and unit
        check(problem, forced(problem, w, form.name, (5, 32)), w, NATIVE)
    assert form_words(form.name) == form.words


@pytest.mark.parametrize("form", [TOY, SQUARES], ids=lambda form: form.name)
def test_a_network_is_compiled_with_it(form: Form, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model, x = torch.nn.Conv2d(16, 24, 1).eval(), torch.randn(1, 16, 6, 6)
    plain = lowbit.compile(model, x, weights="i8", activations="u8", calibration=[x], tuning=False)
    monkeypatch.setitem(FORMS, form.name, form)
    network = lowbit.compile(model, x, weights="i8", activations="u8", calibration=[x], tuning=False)
    assert form.name in [layer["spec"].get("form") for layer in network.manifest["layers"]]
    np.testing.assert_array_equal(network(x.numpy()), plain(x.numpy()))
    rows = network.profile(x.numpy(), runs=1, peaks=False)
    assert form.name in [row.form for row in rows]
