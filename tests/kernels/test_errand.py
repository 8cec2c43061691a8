"""A newcomer's errand: a kernel of one row, from outside, that is tried like all others and that networks are compiled with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

import lowbit
from lowbit.errors import UnsupportedOperation
from lowbit.graph import Node
from lowbit.kernels.case import Case, blank, place, random_values
from lowbit.kernels.layout import Layout
from lowbit.kernels.named import named
from lowbit.kernels.spec import KernelSpec
from lowbit.kernels.table import KERNELS, Kernel
from lowbit.lowering.context import Lowering
from lowbit.lowering.elementwise import lower_unary
from lowbit.lowering.lower import HANDLERS
from lowbit.targets import Target, find_target
from tests.kernels.harness import check_case

NATIVE = find_target("native")


@dataclass(frozen=True, kw_only=True)
class AbsoluteSpec(KernelSpec):
    """o = max(x, zero - x) over the channels of every pixel, float32; ``asks``: for scratch memory, in which each thread begins
    by making the zeros.  units = rows (n * h)."""

    kind: ClassVar[str] = "toy_absolute"
    src: Layout
    dst: Layout
    asks: bool = False

    @property
    def units(self) -> int:
        return self.dst.n * self.dst.h

    @property
    def scratch_bytes(self) -> int:
        return 64 if self.asks else 0

    @property
    def bracketed(self) -> bool:
        return self.asks


def build(spec: AbsoluteSpec, target: Target) -> Any:
    """A row a unit, in vectors of sixteen, as many as a pixel of dst has."""
    from tvm.script import tirx as T
    from tvm.tirx.script import builder as TB

    from lowbit.kernels.abi import around_function, kernel_function
    from lowbit.kernels.rows import divided
    from lowbit.kernels.vectors import load, splat, store

    src, dst = spec.src, spec.dst
    pointers: dict[str, tuple[str, int]] = {"m": ("float32", 16)} if spec.asks else {}
    pointers |= {"x": ("float32", src.elements + 16), "o": ("float32", dst.elements)}
    with kernel_function(spec.symbol(target.name), **pointers) as kernel:
        zero = load(kernel.m, 0, 16) if spec.asks else splat(0.0, "float32", 16)
        with TB.serial(kernel.lo, kernel.hi) as unit:
            image, row = divided(unit, dst.h)
            with TB.serial(dst.w) as column, TB.serial(dst.stride // 16) as block:
                x = load(kernel.x, src.offset(image, row, column, block * 16), 16)
                store(kernel.o, dst.offset(image, row, column, block * 16), T.max(x, zero - x))
    if not spec.asks:
        return kernel.func
    around = []
    for name, value in (("begin", 0.0), ("end", 9.0)):
        with around_function(f"{spec.symbol(target.name)}__{name}", "float32", 16) as part:
            store(part.m, 0, splat(value, "float32", 16))
        around.append(part.func)
    return kernel.func, *around


def reference(spec: AbsoluteSpec, x: np.ndarray) -> np.ndarray:
    return np.maximum(x, -x)


def cases(target: Target) -> Iterator[Case]:
    for c, asks in product((1, 16, 33), (False, True)):
        stride = -(-c // 16) * 16
        src, dst = Layout(2, 3, 5, c, stride, "f32", top=1), Layout(2, 3, 5, c, stride, "f32", left=1)
        x, spec = random_values(np.random.default_rng(c), src), AbsoluteSpec(src=src, dst=dst, asks=asks)
        yield Case(name=f"{c}{asks}", spec=spec, memory={"x": place(x, src), "o": blank(dst)}, values={"x": x}, dst=dst)


def lower(ctx: Lowering, node: Node, asks: bool = False) -> None:
    if node.attrs["fn"] != "abs":
        return lower_unary(ctx, node)
    spec = AbsoluteSpec(src=ctx.layouts[node.inputs[0]], dst=ctx.layouts[node.name], asks=asks)
    return ctx.emit(node, spec, x=node.inputs[0], o=node.name, fill=0)


ROW = Kernel(
    spec=f"{__name__}:AbsoluteSpec", build=f"{__name__}:build", reference=f"{__name__}:reference", cases=f"{__name__}:cases"
)


class Network(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Conv2d(3, 20, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.abs(self.first(x))


@pytest.fixture(autouse=True)
def _fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOWBIT_CACHE", str(tmp_path))


def test_its_cases_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = list(named(ROW.cases)(NATIVE))
    with pytest.raises(UnsupportedOperation, match="no kernel builder for 'toy_absolute'"):
        check_case(tried[0], NATIVE)
    monkeypatch.setitem(KERNELS, AbsoluteSpec.kind, ROW)
    for case in tried:
        check_case(case, NATIVE)
    monkeypatch.setitem(
        KERNELS, AbsoluteSpec.kind, Kernel(spec=ROW.spec, build=ROW.build, reference="numpy:ndim", cases=ROW.cases)
    )
    with pytest.raises(TypeError):
        check_case(tried[0], NATIVE)


@pytest.mark.parametrize("asks", [False, True])
def test_a_network_is_compiled_with_it(asks: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model, x = Network().eval(), torch.randn(1, 3, 9, 11)
    plain = lowbit.compile(model, x, tuning=False)
    monkeypatch.setitem(KERNELS, AbsoluteSpec.kind, ROW)
    monkeypatch.setitem(HANDLERS, "unary", partial(lower, asks=asks))
    network = lowbit.compile(model, x, tuning=False)
    assert AbsoluteSpec.kind in [layer["spec"]["kind"] for layer in network.manifest["layers"]]
    assert AbsoluteSpec.kind not in [layer["spec"]["kind"] for layer in plain.manifest["layers"]]
    np.testing.assert_array_equal(network(x.numpy()), plain(x.numpy()))
    network.save(tmp_path / "network.lowbit")
    again = lowbit.load(tmp_path / "network.lowbit")
    assert [call.spec for call in again.program().calls] == [call.spec for call in network.program().calls]
    np.testing.assert_array_equal(again(x.numpy()), plain(x.numpy()))
