"""One network in many configurations on a GPU: compiled, checked, timed in turns beside torch on the same card."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from lowbit.bench import BenchPlan, layer_outputs, oracle_inputs, prepare
from lowbit.errors import ConfigError, ToolMissing
from lowbit.files import scratch_folder
from lowbit.measure.latency import Latency, measure_latency
from lowbit.measure.size import bytes_on_disk
from lowbit.targets import Target, find_target
from lowbit.targets.gpu import Gpu, gpu_obstacle, host_gpus

if TYPE_CHECKING:
    from rich.table import Table

    from lowbit.runtime.compiled import Compiled

__all__ = ["GPU_PEERS", "GpuBench", "GpuRow", "gpu_table", "is_gpu", "run_gpu_bench", "torch_rows"]

GPU_PEERS = ("torch",)
_AUTOTUNED = "max-autotune"


@dataclass(frozen=True)
class GpuRow:
    """``exact``: outputs equal the oracle's, None where there is none (floats, peers); ``difference``: the largest from it, or
    from torch in float32, relative to the largest output."""

    config: str
    batch: int
    latency: Latency
    bytes: int
    exact: bool | None
    difference: float

    @property
    def images_per_second(self) -> float:
        return 1e3 * self.batch / self.latency.median_ms

    def to_json(self) -> dict[str, Any]:
        return {
            "config": self.config,
            "batch": self.batch,
            "median_ms": self.latency.median_ms,
            "min_ms": self.latency.min_ms,
            "max_ms": self.latency.max_ms,
            "samples_ms": list(self.latency.samples_ms),
            "images_per_second": self.images_per_second,
            "bytes": self.bytes,
            "exact": self.exact,
            "difference": self.difference,
        }


@dataclass(frozen=True)
class GpuBench:
    """``gpu``: where it was measured;  ``how``: what a time is, in words."""

    network: str
    target: str
    gpu: Gpu
    how: str
    rows: Sequence[GpuRow]

    def to_json(self) -> dict[str, Any]:
        where = {"name": self.gpu.name, "arch": self.gpu.arch, "driver": self.gpu.driver}
        rows = [row.to_json() for row in self.rows]
        return {"network": self.network, "target": self.target, "gpu": where, "how": self.how, "rows": rows}


def is_gpu(target: str) -> bool:
    """Whether ``target`` is a GPU, here or not."""
    return target == "cuda" or bool(find_target(target).arch)


def _checked(plan: BenchPlan, batches: Sequence[int]) -> Target:
    """Raises ConfigError where nothing can be timed; before any work."""
    target = find_target(plan.target)
    if why := gpu_obstacle(target):
        hint = "networks for it can be compiled and looked at (lowbit compile, lowbit inspect), not timed"
        raise ConfigError(f"nothing to measure on: {target.name}{why}; {hint}")
    if len(set(batches)) != len(batches) or min(batches) < 1:
        raise ConfigError(f"batches are different whole numbers from 1, not {', '.join(map(str, batches))}")
    return target


def check_gpu_peers(names: Sequence[str]) -> None:
    """Raises ConfigError for an unknown peer, ToolMissing for a torch that has no CUDA; before any work."""
    for name in names:
        if name not in GPU_PEERS:
            raise ConfigError(f"unknown peer {name!r} on a GPU; known peers: {', '.join(GPU_PEERS)}")
    if names and not _torch_has_cuda():
        raise ToolMissing("peer torch needs a torch that finds the GPU (torch.cuda.is_available()); install one with CUDA")


def _torch_has_cuda() -> bool:
    import torch

    return bool(torch.cuda.is_available())


def run_gpu_bench(
    plan: BenchPlan, batches: Sequence[int], peers: Sequence[str] = (), say: Callable[[str], None] = lambda _: None
) -> tuple[GpuBench, dict[str, Compiled]]:
    """Every configuration of ``plan``, and every one of ``peers``, at each of ``batches``; the networks of the first batch.

    ``say`` hears one line about each step.  Times are of tensors in the GPU's memory, until the GPU is done, where torch finds
    the GPU; else from the host's memory and back."""
    target = _checked(plan, batches)
    check_gpu_peers(peers)
    on_device = _torch_has_cuda()
    how = "GPU memory to GPU memory" if on_device else "host memory to host memory: this torch finds no GPU"
    rows: list[GpuRow] = []
    networks: dict[str, Compiled] = {}
    for batch in batches:
        given = prepare(replace(plan, batch=batch), say)
        calls: dict[str, Callable[[], object]] = {}
        found: dict[str, tuple[int, bool | None, float]] = {}
        opened: list[Compiled] = []
        with scratch_folder() as folder:
            for config in plan.configs:
                network, seconds = given.compile(config)
                opened.append(network)
                if batch == batches[0]:
                    networks[config] = network
                exact, difference = _compared(network, given.model, given.inputs)
                found[config] = bytes_on_disk(network.save(folder / "network.lowbit")), exact, difference
                calls[config] = _call(network, given.inputs[0], on_device)
                wrong = "  !! differs from the oracle" if exact is False else ""
                say(f"batch {batch}, {config}: compiled in {seconds:.1f} s{wrong}")
        for name, call, size, difference in torch_rows(given.model, given.inputs[0], say) if peers else ():
            calls[name], found[name] = call, (size, None, difference)
            say(f"batch {batch}, {name}: ready")
        latencies = measure_latency(calls, plan.runs, pause_s=0.0, warmup=3)
        rows += [GpuRow(name, batch, latencies[name], *found[name]) for name in calls]
        for network in opened:
            if batch != batches[0]:
                network.close()
    return GpuBench(plan.network, target.name, host_gpus()[0][0], how, rows), networks


def _relative(got: np.ndarray, want: np.ndarray) -> float:
    return float(np.abs(got - want).max() / max(float(np.abs(want).max()), 1e-30))


def _compared(network: Compiled, model: Any, inputs: Sequence[np.ndarray]) -> tuple[bool | None, float]:
    """Whether outputs equal the oracle's, and how far they are from it, or floats from torch."""
    import torch

    _, oracle = layer_outputs(network.graph(), inputs[: oracle_inputs(network.manifest["macs"])])
    if oracle is None:
        with torch.no_grad():
            want = model(torch.from_numpy(inputs[0])).numpy()
        return None, _relative(np.asarray(network(inputs[0])), want)
    got = [np.asarray(network(x)) for x in inputs[: len(oracle)]]
    return all(map(np.array_equal, got, oracle)), max(map(_relative, got, oracle))


def _call(network: Compiled, x: np.ndarray, on_device: bool) -> Callable[[], object]:
    if not on_device:
        return lambda: network(x)
    import torch

    placed = torch.from_numpy(x).cuda()

    def call() -> None:
        network(placed)
        torch.cuda.synchronize()

    return call


@dataclass(frozen=True)
class _Peer:
    """A way for torch to run a network.  ``compiled``: by torch.compile with max-autotune, which captures graphs of its own; the
    others are captured in one.  ``change``: what is done to the module first."""

    name: str
    dtype: str
    tf32: bool = False
    compiled: bool = False
    change: Callable[[Any], Any] = lambda module: module


def _torchao(module: Any) -> Any:
    """Weights and inputs of linear layers in int8, by torchao, which has nothing for convolutions.

    Raises ToolMissing without it, or where the network has no such layer."""
    import torch

    if find_spec("torchao") is None:
        raise ToolMissing("torchao is not installed")
    quantization: Any = import_module("torchao.quantization")
    if not any(isinstance(layer, torch.nn.Linear) for layer in module.modules()):
        raise ToolMissing("torchao quantizes linear layers, and the network has none")
    quantization.quantize_(module, quantization.Int8DynamicActivationInt8WeightConfig())
    return module


_PEERS = (
    _Peer("torch/fp32", "float32"),
    _Peer("torch/tf32", "float32", tf32=True),
    _Peer("torch/fp16", "float16"),
    _Peer("torch/bf16", "bfloat16"),
    _Peer("torch/fp16-max-autotune", "float16", compiled=True),
    _Peer("torchao/int8-linear-max-autotune", "float16", compiled=True, change=_torchao),
)
_DEVICE = "cuda"


def torch_rows(
    model: Any, x: np.ndarray, say: Callable[[str], None] = lambda _: None
) -> list[tuple[str, Callable[[], object], int, float]]:
    """(name, call, bytes of parameters, difference from float32): float32, TF32, float16 and bfloat16 with channels last, each
    captured in a CUDA graph; float16 compiled with max-autotune, and the same with torchao's int8 linear layers.

    ``say`` hears of those that this torch cannot run, and why."""
    import copy

    import torch

    with torch.no_grad():
        want = model(torch.from_numpy(x)).numpy()
    rows: list[tuple[str, Callable[[], object], int, float]] = []
    for peer in _PEERS:
        dtype = getattr(torch, peer.dtype)
        try:
            own = peer.change(copy.deepcopy(model).eval().to(_DEVICE, dtype).to(memory_format=torch.channels_last))
            size = sum(p.numel() * p.element_size() for p in own.parameters())
            call, result = _captured(own, torch.from_numpy(x).to(_DEVICE, dtype), peer.tf32, peer.compiled)
            rows.append((peer.name, call, size, _relative(result().float().cpu().numpy(), want)))
        except Exception as error:  # torch's compilers and other people's packages: the other peers are measured all the same
            say(f"{peer.name}: not measured: {type(error).__name__}: {' '.join(str(error).split())[:200]}")
    return rows


@contextmanager
def _precision(tf32: bool) -> Iterator[None]:
    """torch's choice of algorithms while something is captured; as it was afterwards."""
    import torch

    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark
    matmul.allow_tf32 = cudnn.allow_tf32 = tf32
    cudnn.benchmark = True
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark = before


def _captured(model: Any, x: Any, tf32: bool, compiled: bool) -> tuple[Callable[[], object], Callable[[], Any]]:
    """The call that is timed, and what gives its result."""
    import torch

    x = x.to(memory_format=torch.channels_last) if x.dim() == 4 else x
    run = torch.compile(model, mode=_AUTOTUNED) if compiled else model
    with torch.no_grad(), _precision(tf32):
        if compiled:  # it captures graphs of its own, whose results the next run overwrites

            def again() -> Any:
                with torch.no_grad():
                    y = run(x)
                torch.cuda.synchronize()
                return y

            for _ in range(5):
                again()
            return again, lambda: again().clone()
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(5):
                run(x)
        torch.cuda.current_stream().wait_stream(stream)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            y = run(x)

    def replay() -> None:
        graph.replay()
        torch.cuda.synchronize()

    def result() -> Any:
        replay()
        return y

    return replay, result


def gpu_table(bench: GpuBench) -> Table:
    """A line a configuration and batch."""
    from rich.table import Table

    where = f"{bench.gpu.name} ({bench.gpu.arch}), driver of CUDA {bench.gpu.driver}"
    table = Table(title=f"{bench.network} for {bench.target} on {where}; {bench.how}")
    table.add_column("config")
    for heading in ("batch", "median ms", "min ms", "images/s", "bytes", "exact", "difference"):
        table.add_column(heading, justify="right")
    for row in bench.rows:
        table.add_row(
            row.config,
            str(row.batch),
            f"{row.latency.median_ms:.3f}",
            f"{row.latency.min_ms:.3f}",
            f"{row.images_per_second:,.0f}",
            f"{row.bytes:,}",
            {None: "n/a", True: "yes", False: "NO"}[row.exact],
            f"{row.difference:.1e}",
        )
    return table
