"""Passes keep what a network computes, whatever stands next to what."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from lowbit.frontend import evaluate, import_model
from lowbit.graph.verify import verify
from lowbit.passes import canonicalize

STEPS = (
    "conv", "padded", "depthwise", "norm", "relu", "relu6", "scale", "shift", "channel_shift", "pad", "max_pool", "avg_pool",
    "add_earlier", "multiply_earlier", "join_earlier", "swap", "tanh", "halve",
)  # fmt: skip


class RandomNet(nn.Module):
    """Applies the named steps in turn; ``earlier`` steps read a value of the same shape computed before."""

    def __init__(self, steps: list[tuple[str, int]]) -> None:
        super().__init__()
        self.steps = steps
        for index, (step, _) in enumerate(steps):
            if step in ("conv", "padded", "depthwise"):
                groups = 4 if step == "depthwise" else 1
                padding = 1 if step != "conv" else 0
                self.add_module(f"m{index}", nn.Conv2d(4, 4, 3 if padding else 1, 1, padding, groups=groups, bias=index % 2 == 0))
            if step == "norm":
                norm = nn.BatchNorm2d(4)
                norm.running_mean.normal_(0, 0.5)
                norm.running_var.uniform_(0.5, 2)
                nn.init.uniform_(norm.weight, -1.5, 1.5)
                nn.init.normal_(norm.bias)
                self.add_module(f"m{index}", norm)

    def step(self, index: int, x: Tensor, earlier: Tensor) -> Tensor:
        name = self.steps[index][0]
        match name:
            case "conv" | "padded" | "depthwise" | "norm":
                return self.get_submodule(f"m{index}")(x)
            case "relu" | "relu6" | "tanh":
                return {"relu": F.relu, "relu6": F.relu6, "tanh": torch.tanh}[name](x)
            case "scale" | "halve":
                return x * 1.5 if name == "scale" else 0.5 * x
            case "shift" | "channel_shift":
                return x - 0.25 if name == "shift" else x + torch.arange(4.0, dtype=x.dtype).reshape(4, 1, 1)
            case "pad":
                return F.pad(x, (1, 0, 0, 1))
            case "max_pool" | "avg_pool":
                return F.max_pool2d(x, 3, 1, 1) if name == "max_pool" else F.avg_pool2d(x, 2, 1)
            case "add_earlier" | "multiply_earlier":
                return x + earlier if name == "add_earlier" else x * torch.sigmoid(earlier)
            case "join_earlier":
                return torch.cat([x[:, :2], earlier[:, 2:]], 1)
        return x.transpose(2, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        values = [x]
        for index, (_, back) in enumerate(self.steps):
            same = [value for value in values if value.shape == values[-1].shape]
            values.append(self.step(index, values[-1], same[back % len(same)]))
        return values[-1], values[len(values) // 2]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 5)), min_size=2, max_size=10))
def test_random_networks(steps: list[tuple[str, int]]) -> None:
    torch.manual_seed(len(steps))
    model, x = RandomNet(steps).eval(), torch.randn(1, 4, 7, 7)
    graph = import_model(model, x)
    verify(graph)
    canonical = canonicalize(graph, lambda step, after: verify(after))
    with torch.no_grad():
        expected = model.double()(x.double())
    for ours, exact, theirs in zip(
        evaluate(canonical, [x], dtype=torch.float64), evaluate(graph, [x], dtype=torch.float64), expected, strict=True
    ):
        size = max(1.0, float(theirs.abs().max()))
        assert float((exact - theirs).abs().max()) <= 1e-9 * size
        assert float((ours - theirs).abs().max()) <= 1e-5 * size
