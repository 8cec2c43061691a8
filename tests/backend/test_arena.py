"""Kernels write inside their buffers, and nothing outside them changes a result."""

from __future__ import annotations

import numpy as np
import pytest

from lowbit.backend.build import build_library, weights_file
from lowbit.backend.cache import compile_kernels
from lowbit.backend.native import NativeNetwork
from lowbit.kernels.layout import Layout
from lowbit.kernels.spec import KernelSpec
from lowbit.lowering.program import Buffer, Program, Ref
from lowbit.targets import find_target
from tests.backend.guarded import guarded
from tests.backend.toy import CSpec, call, compile_c


def run(program: Program, inputs: list[np.ndarray], threads: int = 1) -> list[np.ndarray]:
    target = find_target("native")
    mine = {spec: compile_c(spec, target) for spec in program.specs if isinstance(spec, CSpec)}
    generated = compile_kernels([spec for spec in program.specs if not isinstance(spec, CSpec)], target)
    objects: dict[KernelSpec, bytes] = {**mine, **generated}
    return NativeNetwork(build_library(program, objects, target), weights_file(program), threads).run(inputs)


@pytest.mark.parametrize(("body", "damage"), [("memset(o, 1, 64);", 0), ("memset(o, 1, 65);", 1), ("((char *)o)[-3] = 1;", 1)])
def test_the_guard_sees_writes_outside(body: str, damage: int) -> None:
    buffers = tuple(Buffer(f"b{i}", Layout(1, 1, 4, 16, 16), 0, 1, 64 * i) for i in range(2))
    program = Program("p", (call("a", body, o=Ref("arena", 64)), call("b", ";")), buffers, (), b"", 128, 0, (), ())
    np.testing.assert_array_equal(run(guarded(program, 0x5A), [])[-1], [damage, 0])


def networks() -> dict[str, tuple[object, tuple[int, ...]]]:
    from torch import nn

    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(5, 19, 3, padding=1), nn.Conv2d(19, 19, 3, padding=1)
            self.depthwise = nn.Conv2d(19, 19, 5, stride=2, padding=2, groups=19)
            self.grouped = nn.Conv2d(19, 38, 1, groups=19)
            self.fc = nn.Linear(38, 11)

        def forward(self, x):  # type: ignore[no-untyped-def]
            y = self.a(x).relu()
            y = (self.b(y) + y).relu()
            y = self.grouped(self.depthwise(y).relu()).relu()
            return self.fc(y.mean((2, 3)))

    odd = nn.Sequential(
        nn.Conv2d(3, 7, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, 1),
        nn.Flatten(),
        nn.Linear(7 * 9, 5),
        nn.Softmax(-1),
    )
    return {"residual": (Residual(), (2, 5, 9, 11)), "odd": (odd, (1, 3, 11, 11))}


@pytest.mark.slow
@pytest.mark.parametrize(
    "config",
    [{}, {"weights": "i8"}, {"weights": "i4", "activations": "u4"}, {"weights": "b1", "activations": "b1"}, {"weights": "i16"}],
    ids=str,
)
@pytest.mark.parametrize("name", ["residual", "odd"])
@pytest.mark.filterwarnings("ignore:no calibration data")
def test_generated_kernels_stay_inside(name: str, config: dict[str, str]) -> None:
    """Canaries: small positive floats, and NaN in every type wider than a byte."""
    torch = pytest.importorskip("torch")
    from lowbit.chosen_config import make_config
    from lowbit.lowering import lower
    from lowbit.quantizer import quantized
    from lowbit.tracer import trace

    torch.manual_seed(0)
    model, shape = networks()[name]
    x = torch.randn(shape)
    graph = trace(model.eval(), x)  # type: ignore[attr-defined]
    if config:
        graph = quantized(graph, make_config(**config), None)  # type: ignore[arg-type]
    program = lower(graph, find_target("native"))
    plain = run(program, [x.numpy()])
    for canary in (0x11, 0xFF):
        *outputs, damage = run(guarded(program, canary), [x.numpy()], threads=2)
        assert not damage.any(), [c.layer + " " + c.spec.label for c, d in zip(program.calls, damage, strict=True) if d]
        for got, expected in zip(outputs, plain, strict=True):
            np.testing.assert_array_equal(got, expected)
