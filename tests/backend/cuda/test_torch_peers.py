"""What torch is measured with on a GPU: each way is run on the CPU, with stand-ins for streams and graphs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import pytest
import torch

from lowbit import bench_gpu
from tests import tiny


class _Graph:
    """Runs what was captured again, as a graph does: into the same memory."""

    def __init__(self, log: list[str]) -> None:
        self.log = log

    def replay(self) -> None:
        self.log.append("replay")


class _Stream:
    def wait_stream(self, other: Any) -> None:
        assert isinstance(other, _Stream)


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was asked of torch, in order."""
    found: list[str] = []

    @contextmanager
    def graph(made: Any) -> Iterator[None]:
        precise = torch.backends.cuda.matmul.allow_tf32
        assert precise == torch.backends.cudnn.allow_tf32
        assert torch.backends.cudnn.benchmark
        found.append(f"capture, tf32 {precise}")
        yield

    def compile_(module: Any, mode: str) -> Any:
        found.append(mode)
        return module

    monkeypatch.setattr(bench_gpu, "_DEVICE", "cpu")
    monkeypatch.setattr(torch.cuda, "Stream", _Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", _Stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: found.append("synchronize"))
    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: _Graph(found))
    monkeypatch.setattr(torch.cuda, "graph", graph)
    monkeypatch.setattr(torch, "compile", compile_)
    return found


def test_every_way_is_there(log: list[str]) -> None:
    model, x = tiny.network()
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark
    said: list[str] = []
    rows = {name: row for name, *row in bench_gpu.torch_rows(model, x.numpy(), said.append)}
    assert (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark) == before
    names = [peer.name for peer in bench_gpu._PEERS]
    assert {"torch/fp32", "torch/tf32", "torch/fp16", "torch/fp16-max-autotune"} <= set(names)
    assert [*rows, *(line.partition(":")[0] for line in said)] == names
    assert all("torchao" in line for line in said)
    sizes = {name: row[1] for name, row in rows.items()}
    assert sizes["torch/fp16"] * 2 == sizes["torch/bf16"] * 2 == sizes["torch/fp32"]
    assert rows["torch/fp32"][2] < 1e-5
    assert all(0 < row[2] < 0.05 for name, row in rows.items() if "16" in name)
    captures = [line for line in log if line.startswith("capture")]
    assert captures == ["capture, tf32 False", "capture, tf32 True", "capture, tf32 False", "capture, tf32 False"]
    assert log.count("max-autotune") == sum(peer.compiled for peer in bench_gpu._PEERS)
    log.clear()
    rows["torch/fp16"][0]()
    rows["torch/fp16-max-autotune"][0]()
    assert log == ["replay", "synchronize", "synchronize"]


def test_pixels_lie_side_by_side(log: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights and inputs of every peer are channels last."""
    model, x = tiny.network()
    seen: list[bool] = []
    forward = type(model).forward

    def watched(self: Any, given: torch.Tensor) -> torch.Tensor:
        last = torch.channels_last
        seen.append(given.is_contiguous(memory_format=last) and self.body.weight.is_contiguous(memory_format=last))
        return forward(self, given)

    monkeypatch.setattr(type(model), "forward", watched)
    bench_gpu.torch_rows(model, x.numpy(), lambda _: None)
    own = seen[1:]  # behind the reference's
    assert len(own) >= 6 * 4
    assert all(own)


def test_what_cannot_run_is_said_and_the_rest_is_measured(log: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(module: Any, mode: str) -> Any:
        raise RuntimeError("no Triton here")

    monkeypatch.setattr(torch, "compile", broken)
    model, x = tiny.network()
    said: list[str] = []
    rows = bench_gpu.torch_rows(model, x.numpy(), said.append)
    assert [name for name, *_ in rows] == [peer.name for peer in bench_gpu._PEERS if not peer.compiled]
    assert any(line == "torch/fp16-max-autotune: not measured: RuntimeError: no Triton here" for line in said)


def test_a_network_without_linear_layers_has_nothing_for_torchao() -> None:
    with pytest.raises(Exception, match="torchao (quantizes linear layers, and the network has none|is not installed)"):
        bench_gpu._torchao(torch.nn.Conv2d(3, 8, 3))
    assert np.isfinite(bench_gpu._relative(np.ones(2), np.ones(2)))
