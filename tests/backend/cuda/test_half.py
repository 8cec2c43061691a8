"""Networks in float16 on emulated GPUs: near the float64 network with the same roundings; what they are refused for."""

from __future__ import annotations

import json
import shutil
import warnings
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

import lowbit
from lowbit.backend.cuda.nvrtc import nvidia_file
from lowbit.bench import BenchPlan
from lowbit.cli.app import app
from lowbit.emulate.cuda.driver import emulated_gpu, prepare
from lowbit.errors import ConfigError, NumericsError
from lowbit.measure.expected import expected_outputs
from lowbit.reporting.verify import verify

pytestmark = pytest.mark.skipif(
    shutil.which("g++") is None or nvidia_file("lib/libnvrtc.so.*") is None,
    reason="needs NVRTC of lowbit[cuda] and g++ for the emulated driver",
)


def gpus() -> AbstractContextManager[Path]:
    return emulated_gpu("8.6", "9.0", memory_bytes=1 << 30)  # a process has one set of them


class Mixed(nn.Module):
    """Dense, grouped and depthwise convolutions, a residual, pools, softmax, a constant, a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.wide = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1)
        self.grouped, self.depthwise = nn.Conv2d(16, 16, 3, padding=1, groups=4), nn.Conv2d(16, 16, 5, padding=2, groups=16)
        self.last = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.first(x))
        x = torch.relu(self.wide(x) + x)
        x = self.depthwise(self.grouped(x)) * torch.full((16, 1, 1), 0.7)
        x = torch.cat([nn.functional.max_pool2d(x, 2), nn.functional.avg_pool2d(x, 2)], 1)
        x = nn.functional.adaptive_avg_pool2d(nn.functional.pad(torch.softmax(x, 1), (1, 0, 0, 1), value=0.3), 2)
        return self.last(x.flatten(1)[:, :64])


def _network(batch: int = 2) -> tuple[nn.Module, torch.Tensor]:
    torch.manual_seed(0)
    return Mixed().eval(), torch.randn(batch, 3, 9, 8)


@pytest.mark.parametrize("target", ["cuda-sm80", "cuda-sm75"])
def test_a_network_is_near_its_reference(target: str, tmp_path: Path) -> None:
    """Reference and network round at the same places; a value that they round to different sides differs by 2^-10 of itself,
    and this network passes on less than the sum of what its dozen operations do."""
    model, x = _network()
    net = lowbit.compile(model, x, config="fp16", target=target, progress=False)
    prepare(net)
    path = net.save(tmp_path / "half.lowbit")
    with gpus():
        net = lowbit.load(path)
        y = net.outputs(x.numpy())[0]
        graph = net.graph()
        assert graph.real == "float16"
        want = expected_outputs(graph, [x.numpy()], float_type="float64")[0]
        reach = float(np.abs(want).max())
        assert np.abs(y - want).max() <= 12 * 2.0**-10 * reach
        assert not verify(net)
        weights = [graph.constants[node.inputs[1]] for node in graph.nodes if node.op in ("conv2d", "linear")]
        assert len(weights) == 5
        assert all(np.array_equal(w, w.astype(np.float16)) for w in weights)
        assert {layer["weight"] for layer in net.layers if layer["weight"]} == {"f16"}
        assert {layer["weights"]["container"] for layer in net.layers if layer["weights"]} == {16}
        forms = {layer["spec"].get("form", "") for layer in net.layers}
        assert any(form.startswith("f16_mma") for form in forms)
        assert "f16" in forms


def test_cpus_are_refused_before_any_work() -> None:
    model, x = _network(1)
    with pytest.raises(
        ConfigError, match=r"fp16 is for GPUs \(cuda-sm75, cuda-sm80, cuda-sm90\), not for x86-64-v3; there write"
    ):
        lowbit.compile(model, x, config="fp16", target="x86-64-v3")
    with pytest.raises(ConfigError, match="fp16 is for GPUs"):
        BenchPlan("lenet5", ("fp16",), 1, target="x86-64-v3")
    with pytest.raises(ConfigError, match="fp16 is for networks on GPUs, which compile and bench make"):
        lowbit.quantize(model, x, config="fp16")
    done = CliRunner().invoke(app, ["bench", "lenet5", "--configs", "fp16"])
    assert done.exit_code == 2


def test_what_makes_no_sense_beside_it() -> None:
    model, x = _network(1)
    with pytest.raises(ConfigError, match="leave out calibration"):
        lowbit.compile(model, x, config="fp16", target="cuda-sm80", calibration=[x])
    with pytest.raises(ConfigError, match="leave out weights"):
        lowbit.compile(model, x, config="fp16", weights="i8", target="cuda-sm80")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        integers = lowbit.quantize(model, x, weights="i8", activations="u8")
    with pytest.raises(ConfigError, match="keeps its integers; fp16 is for float networks"):
        lowbit.compile(integers.integer_graph(), config="fp16", target="cuda-sm80")
    with torch.no_grad():
        model.last.weight[3, 5] = 1e5  # type: ignore[operator, index]
    with pytest.raises(NumericsError, match=r"last \(linear, .*\): .* holds 100000; float16 ends at 65504"):
        lowbit.compile(model, x, config="fp16", target="cuda-sm80")


def test_bench_and_compile(tmp_path: Path) -> None:
    run = CliRunner()
    done = run.invoke(
        app, ["compile", "tests.tiny:network", "--config", "fp16", "--target", "cuda-sm80", "-o", str(tmp_path / "n.lowbit")]
    )
    assert done.exit_code == 0, done.output
    with gpus():
        words = ["bench", "tests.tiny:network", "--target", "cuda", "--configs", "fp16,8/int8", "--batch", "1,3", "--runs", "1"]
        done = run.invoke(app, [*words, "--json", str(tmp_path / "rows.json")])
        assert done.exit_code == 0, done.output
    rows = json.loads((tmp_path / "rows.json").read_text())["rows"]
    halves = [row for row in rows if row["config"] == "fp16"]
    assert [row["batch"] for row in halves] == [1, 3]
    assert all(row["exact"] is None and 0 < row["difference"] < 0.01 for row in halves)
