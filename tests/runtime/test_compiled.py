from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lowbit.backend.manifest import make_manifest
from lowbit.backend.native import NativeNetwork
from lowbit.errors import ArtifactError, ConfigError, InputError, LowbitError
from lowbit.lowering.program import Program, Ref
from lowbit.runtime.artifact import read_artifact, write_artifact
from lowbit.runtime.compiled import Compiled, load
from tests.backend.toy import TARGET, built, call, linear_reference, objects
from tests.runtime.toy import toy_compiled


@pytest.fixture(scope="module")
def toy() -> tuple[Compiled, np.ndarray]:
    return toy_compiled()


@pytest.fixture(scope="module")
def saved(toy: tuple[Compiled, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy[0].save(tmp_path_factory.mktemp("saved") / "toy.lowbit")


X = np.arange(-11, 19, dtype=np.float32)[None]


def test_arrays_in_array_out(toy: tuple[Compiled, np.ndarray]) -> None:
    network, values = toy
    y = network(X)
    assert isinstance(y, np.ndarray)
    assert (y.shape, y.dtype) == ((1, 40), np.float32)
    np.testing.assert_array_equal(y, linear_reference(values, X))


def test_tensors_in_tensor_out(toy: tuple[Compiled, np.ndarray]) -> None:
    torch = pytest.importorskip("torch")
    network, values = toy
    for x in (torch.from_numpy(X), torch.from_numpy(X).requires_grad_(), torch.nn.Parameter(torch.from_numpy(X))):
        y = network(x)
        assert isinstance(y, torch.Tensor)
        np.testing.assert_array_equal(y.numpy(), linear_reference(values, X))


def test_inputs_need_not_be_contiguous(toy: tuple[Compiled, np.ndarray]) -> None:
    torch = pytest.importorskip("torch")
    network, values = toy
    wide = np.zeros((1, 60), np.float32)
    wide[:, ::2] = X
    backwards = np.ascontiguousarray(X[:, ::-1])[:, ::-1]
    read_only = X.copy()
    read_only.flags.writeable = False
    for x in (wide[:, ::2], backwards, read_only, torch.from_numpy(wide)[:, ::2]):
        np.testing.assert_array_equal(np.asarray(network(x)), linear_reference(values, X))


def test_several_inputs_and_outputs() -> None:
    torch = pytest.importorskip("torch")
    add = call(
        "add",
        "((float *)o)[0] = ((const float *)x)[0] + ((const float *)r)[0];",
        x=Ref("input", 0),
        r=Ref("input", 1),
        o=Ref("output", 0),
    )
    copy = call("copy", "memcpy(o, x, 8);", x=Ref("input", 1), o=Ref("output", 1))
    program = Program("pair", (add, copy), (), (), b"", 64, 0, ((1,), (2,)), ((1,), (1, 2)))
    library, weights = built(program)
    network = Compiled(make_manifest(program, TARGET, objects(program)), {"library.so": library, "weights.bin": weights}, 1)
    assert network.input_shapes == ((1,), (2,))
    assert network.output_shapes == ((1,), (1, 2))
    total, copied = network(np.float32([1]), np.float32([2, 3]))
    assert (total.tolist(), copied.tolist()) == ([3.0], [[2.0, 3.0]])
    mixed = network(torch.ones(1), np.float32([2, 3]))
    assert isinstance(mixed, tuple)
    assert all(isinstance(y, torch.Tensor) for y in mixed)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ((), "takes 1 inputs, 0 given"),
        ((X, X), "takes 1 inputs, 2 given"),
        ((X.astype(np.float64),), r"input 0 \(x\): expected float32, got float64; cast it first: x.astype"),
        ((X.astype(np.int32),), "expected float32, got int32"),
        ((X.astype(">f4"),), "expected float32, got >f4"),
        ((X[0],), r"expected shape \(1, 30\), got \(30,\); shapes are fixed"),
        ((np.zeros((2, 30), np.float32),), r"got \(2, 30\)"),
        ((X.tolist(),), "expected a torch tensor or numpy array, got list"),
        ((None,), "got NoneType"),
    ],
)
def test_wrong_inputs(toy: tuple[Compiled, np.ndarray], inputs: tuple[object, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        toy[0](*inputs)
    with pytest.raises(InputError, match=message):
        toy[0].profile(*inputs)


def test_wrong_tensors(toy: tuple[Compiled, np.ndarray]) -> None:
    torch = pytest.importorskip("torch")
    x = torch.from_numpy(X)
    with pytest.raises(InputError, match=r"expected float32, got float64; cast it first: x\.float"):
        toy[0](x.double())
    with pytest.raises(InputError, match="expected float32, got bfloat16"):
        toy[0](x.bfloat16())
    with pytest.raises(InputError, match=r"expected a dense tensor on the CPU, got torch\.sparse_coo on cpu"):
        toy[0](x.to_sparse())
    with pytest.raises(InputError, match="on meta"):
        toy[0](x.to("meta"))


def test_profile(toy: tuple[Compiled, np.ndarray]) -> None:
    network, _ = toy
    rows = network.profile(X, runs=3, peaks=False)
    assert [row.layer for row in rows] == ["in", "layer0", "shrink0", "layer1", "shrink1", "layer2"]
    assert [row.macs for row in rows] == [0, 1200, 0, 1200, 0, 1200]
    assert all(row.ns > 0 and isinstance(row.ns, int) for row in rows)
    assert rows[1].kernel == network.manifest["layers"][1]["kernel"]
    with pytest.raises(ConfigError, match="runs must be at least 1, got 0"):
        network.profile(X, runs=0)


def test_threads(saved: Path) -> None:
    network = load(saved, threads=3)
    assert network.threads == 3
    network.threads = 1
    assert network.threads == 1
    assert "1 threads" in repr(network)
    network.close()
    with pytest.raises(LowbitError, match="closed"):
        network(X)


def test_a_saved_network_is_the_same(toy: tuple[Compiled, np.ndarray], saved: Path, tmp_path: Path) -> None:
    network, _ = toy
    again = load(saved)
    assert (again.name, again.input_shapes, again.output_shapes) == ("toy", ((1, 30),), ((1, 40),))
    assert again.manifest == network.manifest
    np.testing.assert_array_equal(again(X), network(X))
    assert again.save(tmp_path / "again").read_bytes() == saved.read_bytes()
    assert again.sections == network.sections
    for name in network.sections:
        if name != "manifest.json":
            assert again.section(name) == network.section(name)


def test_sections_tell_what_there_is(toy: tuple[Compiled, np.ndarray]) -> None:
    network, _ = toy
    assert json.loads(network.section("manifest.json"))["name"] == "toy"
    assert b"layer0" in network.section("program.json")
    assert b"linear" in network.section("graph.txt")
    with pytest.raises(ArtifactError, match=r"no section 'nope'; it has manifest\.json, library\.so"):
        network.section("nope")


def test_saving_over_a_loaded_file(saved: Path, tmp_path: Path) -> None:
    """The old file stays mapped under the new one."""
    path = tmp_path / "net"
    path.write_bytes(saved.read_bytes())
    network = load(path)
    network.save(path)
    network.save(path)
    np.testing.assert_array_equal(load(path)(X), network(X))
    assert network.section("graph.txt")


def test_load_errors_name_the_file(saved: Path, tmp_path: Path) -> None:
    artifact = read_artifact(saved)
    weights = bytearray(artifact["weights.bin"])
    weights[-1] ^= 1
    path = write_artifact(tmp_path / "net", artifact.manifest, {**artifact, "weights.bin": bytes(weights)})
    with pytest.raises(ArtifactError, match=rf"^{re.escape(str(path))}: toy: the weight file is damaged"):
        load(path)
    path = write_artifact(tmp_path / "net", artifact.manifest, {"library.so": artifact["library.so"]})
    with pytest.raises(ArtifactError, match=r"no section 'weights\.bin'"):
        load(path)


LIGHT = """
import sys, time
import numpy
start = time.perf_counter()
from lowbit import load
net = load(sys.argv[1])
seconds = time.perf_counter() - start
y = net(numpy.zeros(net.input_shapes[0], numpy.float32))
heavy = {"torch", "tvm", "tvm_ffi", "onnx", "onnxruntime", "scipy", "matplotlib", "rich", "typer"} & set(sys.modules)
assert not heavy, heavy
compiler = [name for name in sys.modules if name.startswith(("lowbit.kernels", "lowbit.lowering", "lowbit.quantization"))]
assert not compiler, compiler
print(seconds)
"""


def test_loading_needs_numpy_alone_and_little_time(tmp_path: Path) -> None:
    """24 million 4-bit weights."""
    network, _ = toy_compiled(n=6000, k=4000, layers=1, bits="i4")
    path = network.save(tmp_path / "big")
    assert path.stat().st_size > 12_000_000
    seconds = []
    for _ in range(5):
        done = subprocess.run([sys.executable, "-c", LIGHT, path], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        seconds.append(float(done.stdout))
    assert min(seconds) < 0.5, "about 0.06 s on an idle machine"


PEAK = """
import sys
import numpy
import hashlib, threading, zlib
from lowbit import load
def peak():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) * 1024
before = peak()
net = load(sys.argv[1], threads=2)
net(numpy.zeros(net.input_shapes[0], numpy.float32))
print(peak() - before, net._network.info["weight_bytes"])
"""


@pytest.mark.parametrize("bits", ["i8", "i4", "i2"])
def test_weights_are_in_memory_once(tmp_path: Path, bits: str) -> None:
    """One layer of 48 million weights: at most half of its file's bytes are there at the same time, and nothing stays."""
    network, _ = toy_compiled(n=8000, k=6000, layers=1, bits=bits)
    path = network.save(tmp_path / "big")
    del network
    done = subprocess.run([sys.executable, "-c", PEAK, path], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    peak, weights = map(int, done.stdout.split())
    assert peak < weights + 0.5 * path.stat().st_size + 6_000_000


def test_results_belong_to_the_caller(toy: tuple[Compiled, np.ndarray]) -> None:
    network, _ = toy
    first = network(X)
    kept = first.copy()
    network(X * 2)
    np.testing.assert_array_equal(first, kept)
    assert isinstance(network._network, NativeNetwork)


def test_instructions_this_cpu_lacks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Compiling for another CPU of this architecture gives a network that can be saved, not called."""
    import torch

    import lowbit

    monkeypatch.setattr("lowbit.targets.host.host_features", lambda: frozenset({"sse2"}))
    net = lowbit.compile(torch.nn.Conv2d(3, 4, 3), torch.zeros(1, 3, 8, 8), target="x86-64-v3")
    path = net.save(tmp_path / "net.lowbit")
    with pytest.raises(ArtifactError, match=r"compiled for x86-64-v3; this CPU lacks avx2, fma"):
        lowbit.load(path)(np.zeros((1, 3, 8, 8), np.float32))
