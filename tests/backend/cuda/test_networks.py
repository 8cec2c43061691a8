"""Networks for GPUs on the emulated driver: equal to the oracle, from the host's memory and from the device's, by many
callers."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import lowbit
from lowbit.bench import BenchPlan
from lowbit.bench_gpu import run_gpu_bench
from lowbit.emulate.cuda.driver import emulated_gpu, prepare
from lowbit.errors import ArtifactError, ConfigError, InputError, LowbitError, ToolMissing, UnknownTarget
from lowbit.export.library import export_static_library
from lowbit.graph.interpreter import interpret
from lowbit.reporting import gpu_code
from lowbit.reporting.layers import layer_reports
from lowbit.reporting.stages import stage_text
from lowbit.reporting.verify import checks_of, verify
from lowbit.runtime import on_device
from lowbit.runtime.compiled import Compiled
from tests import tiny

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="the emulated driver is built with g++")

CONFIGS = ("8/int8", "4/int4", "1/int1", "16/int16", "w4a8", "fp32")


@pytest.fixture(scope="module", autouse=True)
def driver() -> Iterator[Path]:
    """Two GPUs, of which the second is newer than the kernels."""
    with emulated_gpu("8.6", "9.0", memory_bytes=1 << 30) as path:
        yield path


@pytest.fixture(scope="module")
def files(driver: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Configuration -> the artifact; compiled where there is no GPU."""
    os.environ.pop("LOWBIT_CUDA_DRIVER")
    model, example = tiny.network()
    folder, made = tmp_path_factory.mktemp("gpu"), {}
    try:
        for config in CONFIGS:
            network = lowbit.compile(model, example, config=config, calibration=[example], target="cuda-sm80", progress=False)
            with pytest.raises(ArtifactError, match="for cuda-sm80, a GPU; there is no NVIDIA driver here"):
                network(example)
            prepare(network)
            made[config] = network.save(folder / config.replace("/", "-"))
    finally:
        os.environ["LOWBIT_CUDA_DRIVER"] = str(driver)
    return made


def picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((1, 3, 8, 8), np.float32)


def expected(network: Compiled, x: np.ndarray) -> np.ndarray:
    return interpret(network.graph(), [x])[0]


@pytest.mark.parametrize("config", [config for config in CONFIGS if config != "fp32"])
def test_networks_equal_the_oracle(files: dict[str, Path], config: str) -> None:
    network = lowbit.load(files[config])
    for seed in range(3):
        np.testing.assert_array_equal(network(picture(seed)), expected(network, picture(seed)))
    assert not verify(network)
    profile = network.profile(picture(), runs=1, peaks=False)
    assert len(profile) == len(network.layers)


def test_float_networks_are_near(files: dict[str, Path]) -> None:
    import torch

    network, x = lowbit.load(files["fp32"]), picture()
    np.testing.assert_allclose(network(x), tiny.module()(torch.from_numpy(x)).detach().numpy(), rtol=1e-4, atol=1e-5)


def test_a_newer_gpu_is_given_ptx(files: dict[str, Path]) -> None:
    network = lowbit.load(files["8/int8"], device=1)
    np.testing.assert_array_equal(network(picture()), expected(network, picture()))
    with pytest.raises(LowbitError, match="there is no GPU 2: this machine has 2, counted from 0"):
        lowbit.load(files["8/int8"], device=2)
    for wrong in (-1, "0", True):
        with pytest.raises(ConfigError, match="device is the number of a GPU"):
            lowbit.load(files["8/int8"], device=wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="device=0 is a GPU's, and the network is for x86-64"):
        lowbit.compile(*tiny.network(), target="x86-64", device=0)


def test_many_callers_at_a_time(files: dict[str, Path]) -> None:
    network = lowbit.load(files["8/int8"])
    wanted = [expected(network, picture(seed)) for seed in range(6)]
    wrong: list[int] = []

    def call(seed: int) -> None:
        for _ in range(10):
            if not np.array_equal(network(picture(seed)), wanted[seed]):
                wrong.append(seed)

    threads = [threading.Thread(target=call, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    network.close()
    with pytest.raises(LowbitError, match="is closed"):
        network(picture())


class _Gpu:
    """The emulated driver as a user of its memory and streams."""

    def __init__(self, driver: Path, device: int = 0) -> None:
        self.cuda = ctypes.CDLL(str(driver))
        context = ctypes.c_void_p()
        self.check("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self.context = context
        self.freed: list[int] = []

    def check(self, name: str, *arguments: Any) -> None:
        result = getattr(self.cuda, name)(*arguments)
        assert result == 0, f"{name}: {result}"

    def allocate(self, nbytes: int) -> int:
        address = ctypes.c_uint64()
        self.check("cuCtxPushCurrent_v2", self.context)
        self.check("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(nbytes))
        self.check("cuCtxPopCurrent_v2", ctypes.byref(ctypes.c_void_p()))
        return address.value

    def stream(self) -> int:
        made = ctypes.c_void_p()
        self.check("cuStreamCreate", ctypes.byref(made), 1)
        return made.value or 0

    def put(self, address: int, array: np.ndarray, stream: int) -> None:
        size = ctypes.c_size_t(array.nbytes)
        self.check(
            "cuMemcpyHtoDAsync_v2", ctypes.c_uint64(address), ctypes.c_void_p(array.ctypes.data), size, ctypes.c_void_p(stream)
        )

    def take(self, address: int, shape: tuple[int, ...], stream: int) -> np.ndarray:
        array = np.zeros(shape, np.float32)
        size, to = ctypes.c_size_t(array.nbytes), ctypes.c_void_p(array.ctypes.data)
        self.check("cuMemcpyDtoHAsync_v2", to, ctypes.c_uint64(address), size, ctypes.c_void_p(stream))
        self.check("cuStreamSynchronize", ctypes.c_void_p(stream))
        return array


def test_memory_and_streams_of_the_device(files: dict[str, Path], driver: Path) -> None:
    """Calls are queued on the caller's streams and wait for nothing but one another: the emulated driver works lazily."""
    network, gpu = lowbit.load(files["8/int8"]), _Gpu(driver)
    native: Any = network._native
    streams = [gpu.stream() for _ in range(3)] + [0]
    pictures = [picture(seed) for seed in range(12)]
    places = [(gpu.allocate(x.nbytes), gpu.allocate(40)) for x in pictures]
    for i, (x, (source, result)) in enumerate(zip(pictures, places, strict=True)):
        gpu.put(source, x, streams[i % 4])
        native.run_device([source], [result], streams[i % 4])
    for i, (x, (_, result)) in reversed(list(enumerate(zip(pictures, places, strict=True)))):
        np.testing.assert_array_equal(gpu.take(result, (1, 10), streams[i % 4]), expected(network, x))
    np.testing.assert_array_equal(network(pictures[0]), expected(network, pictures[0]))
    network.close()


class _Tensor:
    """What on_device.py asks of a torch tensor on a GPU."""

    def __init__(self, gpu: _Gpu, shape: tuple[int, ...], dtype: str = "float32", index: int = 0, kind: str = "cuda") -> None:
        self.shape, self.dtype, self.layout = shape, dtype, "strided"
        self.device = SimpleNamespace(type=kind, index=index)
        self.address = gpu.allocate(4 * int(np.prod(shape)))

    def contiguous(self) -> _Tensor:
        return self

    def data_ptr(self) -> int:
        return self.address


def test_streams_that_are_captured(files: dict[str, Path], driver: Path) -> None:
    """A network does not go into somebody's graph; and while others capture theirs, it makes memory for a run all the same."""
    network, x = lowbit.load(files["8/int8"]), picture()
    want = expected(network, x)
    cuda = ctypes.CDLL(str(driver))
    context, stream, graph = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_void_p()
    memory = ctypes.c_uint64()
    cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0)
    cuda.cuCtxPushCurrent_v2(context)
    cuda.cuMemAlloc_v2(ctypes.byref(memory), ctypes.c_size_t(x.nbytes + want.nbytes))
    cuda.cuStreamCreate(ctypes.byref(stream), 1)
    native: Any = network._native
    for mode in (0, 1, 2):
        assert cuda.cuStreamBeginCapture_v2(stream, mode) == 0
        with pytest.raises(LowbitError, match="the stream is being captured into a graph; the network has a graph of its own"):
            native.run_device([memory.value], [memory.value + x.nbytes], stream.value)
        answers: list[np.ndarray] = []
        callers = [threading.Thread(target=lambda kept=answers: kept.append(network(x))) for _ in range(3)]
        if mode == 0:  # in which nobody else may allocate, unless they say that they know
            assert cuda.cuMemAlloc_v2(ctypes.byref(ctypes.c_uint64()), ctypes.c_size_t(64)) == 900
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        assert len(answers) == 3
        assert all(np.array_equal(answer, want) for answer in answers)
        other = lowbit.load(files["4/int4"])
        np.testing.assert_array_equal(other(x), expected(other, x))
        other.close()
        assert cuda.cuStreamEndCapture(stream, ctypes.byref(graph)) == 0
        cuda.cuGraphDestroy(graph)
    np.testing.assert_array_equal(network(x), want)
    cuda.cuMemFree_v2(memory)
    cuda.cuStreamDestroy_v2(stream)
    cuda.cuCtxPopCurrent_v2(ctypes.byref(context))


def test_cuda_tensors(files: dict[str, Path], driver: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network, gpu, x = lowbit.load(files["8/int8"]), _Gpu(driver), picture()
    stream = gpu.stream()
    torch = SimpleNamespace(
        Tensor=_Tensor,
        float32="float32",
        strided="strided",
        empty=lambda shape, dtype, device: _Tensor(gpu, shape, dtype),
        cuda=SimpleNamespace(current_stream=lambda device: SimpleNamespace(cuda_stream=stream)),
    )
    monkeypatch.setitem(sys.modules, "torch", torch)
    given = _Tensor(gpu, x.shape)
    gpu.put(given.address, x, stream)
    result = network(given)
    assert isinstance(result, _Tensor)
    wanted = expected(network, x)
    np.testing.assert_array_equal(gpu.take(result.address, (1, 10), stream), wanted)
    with pytest.raises(InputError, match="expected a dense float32 of shape"):
        network(_Tensor(gpu, (1, 3, 8, 9)))
    with pytest.raises(InputError, match="expected a dense float32 of shape"):
        network(_Tensor(gpu, x.shape, "float16"))
    with pytest.raises(InputError, match="expected a tensor on cuda:0 like the others, got one on"):
        network(_Tensor(gpu, x.shape, index=1))
    with pytest.raises(InputError, match="takes 1 inputs, 2 given"):
        network(given, given)
    assert not on_device.is_on_gpu(_Tensor(gpu, x.shape, kind="cpu"))


def test_stages(files: dict[str, Path]) -> None:
    network = lowbit.load(files["8/int8"])
    cuda = stage_text(network, "cuda")
    assert "__global__" in cuda
    assert "used by stem" in cuda
    assert ".target sm_80" in stage_text(network, "ptx", "stem")
    assert "IMAD" in stage_text(network, "sass", "stem")
    assert "T.launch_thread" in stage_text(network, "tensorir", "stem")
    with pytest.raises(ConfigError, match="unknown stage 'llvm' of a network for cuda-sm80; stages: graph, .*, cuda, ptx, sass"):
        stage_text(network, "llvm")


def test_without_nvdisasm_less_is_checked(files: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    network = lowbit.load(files["4/int4"])
    assert list(checks_of(network)) == ["size", "container", "values", "integer", "code", "registers"]
    monkeypatch.setattr(gpu_code, "nvidia_file", lambda pattern: None)
    assert list(checks_of(network)) == ["size", "container", "values", "code", "registers"]
    assert not verify(network)
    assert all(report.function is None for report in layer_reports(network))
    with pytest.raises(
        ToolMissing, match=r"nvdisasm reads the machine code of GPUs and is not installed: pip install 'lowbit\[cuda\]'"
    ):
        stage_text(network, "sass")


def test_verify_finds_other_code(files: dict[str, Path], tmp_path: Path) -> None:
    from lowbit.runtime.artifact import read_artifact, write_artifact

    artifact = read_artifact(files["8/int8"])
    sections = {name: bytes(artifact[name]) for name in artifact if name != "manifest.json"}
    library = sections["library.so"]
    for old, new, text in (
        (b"__float2int_rn(", b"__float2int_rz(", "printed again differs"),
        (b"NVIDIA NVVM Compiler", b"NVIDIA nvvm Compiler", "the machine code of .* is not what was compiled"),
    ):
        assert library.count(old) > 0
        altered = {**sections, "library.so": library.replace(old, new, 1)}
        network = lowbit.load(write_artifact(tmp_path / "altered", artifact.manifest, altered))
        assert any(re.search(text, str(finding)) for finding in verify(network)), text


def test_the_target_cuda_is_this_machines(files: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    from lowbit.targets import find_target

    assert find_target("cuda").name == "cuda-sm80"
    monkeypatch.setenv("LOWBIT_CUDA_DRIVER", "/nowhere/libcuda.so.1")
    with pytest.raises(UnknownTarget, match=r"and there is no NVIDIA driver here .*name it: cuda-sm75, cuda-sm80, cuda-sm90"):
        find_target("cuda")


def test_nvrtc_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    from lowbit.backend.cuda import nvrtc

    monkeypatch.setattr(nvrtc, "nvidia_file", lambda pattern: None)
    nvrtc._library.cache_clear()
    nvrtc.nvrtc_version.cache_clear()
    with pytest.raises(ToolMissing, match=r"NVRTC makes the kernels of GPUs and is not installed: pip install 'lowbit\[cuda\]'"):
        lowbit.compile(*tiny.network(), target="cuda-sm80")
    nvrtc._library.cache_clear()
    monkeypatch.undo()
    with pytest.raises(LowbitError, match="refuses a kernel for sm_80"):
        nvrtc.compile_cuda("not CUDA", "sm_80")


_LOAD = "import sys, numpy as np, lowbit; print(lowbit.load(sys.argv[1])(np.ones((1, 3, 8, 8), np.float32)).shape)"


@pytest.mark.parametrize(
    ("gpus", "memory", "message"),
    [
        ("7.5", "1000000000", "was compiled for cuda-sm80; the GPUs here are older: emulated GPU 0 \\(sm_75\\)"),
        ("8.0", "5000", "out of memory: [0-9]+ bytes for (weights|a run); [0-9]+ of 5000 are free"),
        ("", "1000000", "the NVIDIA driver finds no GPU"),
        ("8.0", "1000000000", ""),
    ],
)
def test_gpus_that_cannot(files: dict[str, Path], gpus: str, memory: str, message: str) -> None:
    environment = {**os.environ, "LOWBIT_EMULATED_GPUS": gpus, "LOWBIT_EMULATED_MEMORY": memory}
    command = [sys.executable, "-c", _LOAD, str(files["8/int8"])]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if message:
        assert done.returncode != 0
        assert re.search(message, done.stderr), done.stderr[-600:]
    else:
        assert done.stdout == "(1, 10)\n", done.stderr


def test_loading_needs_neither_tvm_nor_torch(files: dict[str, Path]) -> None:
    code = _LOAD + "; assert not {'torch', 'tvm'} & set(sys.modules), sorted(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, str(files["8/int8"])], capture_output=True, text=True)
    assert done.stdout == "(1, 10)\n", done.stderr


_FORK = """
import os, sys, numpy as np, lowbit
net, x = lowbit.load(sys.argv[1]), np.ones((1, 3, 8, 8), np.float32)
net(x)
if os.fork() == 0:
    try:
        net(x)
    except lowbit.errors.LowbitError as error:
        print(error, flush=True)
    try:
        lowbit.load(sys.argv[2])
    except lowbit.errors.LowbitError as error:
        print(error, flush=True)
    os._exit(0)
os.wait()
"""


def test_a_forked_child_is_told(files: dict[str, Path]) -> None:
    paths = [str(files["8/int8"]), str(files["w4a8"])]
    done = subprocess.run([sys.executable, "-c", _FORK, *paths], capture_output=True, text=True)
    first, second = done.stdout.splitlines()
    assert "a network on a GPU does not run in a forked child; start the process anew" in first, done.stderr
    assert "NVIDIA's driver was opened before the fork() that made this process" in second


def test_c_programs(files: dict[str, Path], tmp_path: Path) -> None:
    """The exported library in a program of its own: needs neither Python nor anything of NVIDIA's to be linked."""
    network, x = lowbit.load(files["8/int8"]), picture()
    folder = network.export_library(tmp_path / "library")
    assert "tiny_run_device" in (folder / "tiny.h").read_text()
    subprocess.run(["cc", "-O2", "main.c", "-L.", "-ltiny", "-Wl,-rpath,$ORIGIN", "-o", "main"], cwd=folder, check=True)
    x.tofile(folder / "input0.raw")
    done = subprocess.run(["./main", "tiny.weights", "input0.raw"], cwd=folder, capture_output=True, text=True, check=True)
    np.testing.assert_array_equal(np.array(done.stdout.split(), np.float32), expected(network, x)[0])
    without = {name: value for name, value in os.environ.items() if name != "LOWBIT_CUDA_DRIVER"}
    done = subprocess.run(["./main", "tiny.weights", "input0.raw"], cwd=folder, capture_output=True, text=True, env=without)
    assert done.returncode == 1
    assert "there is no NVIDIA driver here: libcuda.so.1" in done.stderr
    with pytest.raises(ConfigError, match="opens NVIDIA's driver, which static programs and libraries cannot"):
        export_static_library(network, tmp_path)


def test_a_bench_says_where_it_was(files: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    plan = BenchPlan("tests.tiny:network", ("8/int8", "fp32"), 1, 2, target="cuda")
    measured, networks = run_gpu_bench(plan, (1,))
    assert [(row.config, row.batch, row.exact) for row in measured.rows] == [("8/int8", 1, True), ("fp32", 1, None)]
    assert set(networks) == {"8/int8", "fp32"}
    assert (measured.target, measured.gpu.name) == ("cuda-sm80", "emulated GPU 0")
    assert "this torch finds no GPU" in measured.how
    with pytest.raises(ToolMissing, match="peer torch needs a torch that finds the GPU"):
        run_gpu_bench(plan, (1,), ("torch",))
    with pytest.raises(ConfigError, match="batches are different whole numbers from 1, not 1, 1"):
        run_gpu_bench(plan, (1, 1))
    monkeypatch.setenv("LOWBIT_CUDA_DRIVER", "/nowhere/libcuda.so.1")
    with pytest.raises(ConfigError, match="nothing to measure on: cuda-sm80, a GPU; there is no NVIDIA driver here"):
        run_gpu_bench(BenchPlan("tests.tiny:network", ("8/int8",), 1, target="cuda-sm80"), (1,))


def test_one_process_has_one_set_of_emulated_gpus() -> None:
    with (
        pytest.raises(ConfigError, match=r"has opened emulated GPUs 8.6, 9.0; for 7.5 start another"),
        emulated_gpu("7.5", memory_bytes=1 << 30),
    ):
        pass
