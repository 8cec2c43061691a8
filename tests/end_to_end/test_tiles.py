"""Whole networks on emulated AMX tiles: every integer as the interpreter says, in any number of threads and callers."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

import lowbit
from lowbit.errors import ArtifactError
from lowbit.runtime.compiled import Compiled
from lowbit.targets import TARGETS
from lowbit.targets.host import host_features, obstacle
from lowbit.zoo.building import load_network
from tests import tiny
from tests.end_to_end.check import agrees, build, expected

EMULATED, REAL = TARGETS["x86-64-v3-amx-emulated"], TARGETS["x86-64-v4-amx"]
emulated = pytest.mark.skipif(bool(obstacle(EMULATED)), reason="this CPU does not even emulate tiles")


def forms(network: Compiled) -> list[str]:
    return [str(layer["spec"].get("form", "")) for layer in network.manifest["layers"]]


@emulated
@pytest.mark.parametrize("config", ["8/int8", "7/int7", "w4a8", "4/int4", "2/int2", "1/int1", "16/int16"])
@pytest.mark.parametrize("name", ["lenet5", "cifar_resnet20"])
def test_a_network_equals_the_interpreter(name: str, config: str) -> None:
    model, examples = load_network(name)
    network = build(model, examples[0], config=config, target=EMULATED.name)
    used = [form for form in forms(network) if form.endswith("_amx")]
    assert len(used) >= (18 if name == "cifar_resnet20" else config != "16/int16")
    for seed in range(2):
        x = np.random.default_rng(seed).standard_normal(tuple(examples[0].shape), np.float32) * 3
        network.threads = 1
        first = agrees(network, x)
        network.threads = 2
        for one, two in zip(first, network.outputs(x), strict=True):
            np.testing.assert_array_equal(one, two)


@emulated
@pytest.mark.parametrize("config", ["8/int8", "2/int2"])
def test_short_rows_are_gathered(config: str) -> None:
    """Strided layers of 7 x 7 outputs, of one tap and of nine, which share what they read with nobody."""
    torch.manual_seed(0)
    layers = [torch.nn.Conv2d(3, 256, 3, 1, 1), torch.nn.ReLU(), torch.nn.Conv2d(256, 256, 3, 2, 1), torch.nn.ReLU()]
    layers += [torch.nn.Conv2d(256, 256, 1, 2), torch.nn.ReLU(), torch.nn.Conv2d(256, 10, 3)]
    example = torch.randn(2, 3, 10, 12)
    network = build(torch.nn.Sequential(*layers).eval(), example, config=config, target=EMULATED.name)
    assert forms(network).count("u8_amx_gathered") == 2
    assert sum(layer["spec"]["kind"] == "pack_taps" for layer in network.manifest["layers"]) == 2
    x = np.random.default_rng(3).standard_normal(tuple(example.shape), np.float32)
    for threads in (1, 2):
        network.threads = threads
        agrees(network, x)


@emulated
@pytest.mark.parametrize("config", ["8/int8", "4/int4"])
def test_several_callers(config: str) -> None:
    """Tiles belong to threads: neither callers nor the threads of a pool see those of others."""
    model, example = tiny.network()
    network = build(model, example, config=config, target=EMULATED.name, threads=2)
    assert any(form.endswith("_amx") for form in forms(network))
    inputs = [np.random.default_rng(seed).standard_normal(tuple(example.shape), np.float32) for seed in range(4)]
    wanted = [expected(network, (x,))[0] for x in inputs]
    wrong: list[int] = []

    def call(offset: int) -> None:
        for turn in range(20):
            index = (turn + offset) % len(inputs)
            if not np.array_equal(network.outputs(inputs[index])[0], wanted[index]):
                wrong.append(index)

    callers = [threading.Thread(target=call, args=(offset,)) for offset in range(5)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert wrong == []


@emulated
def test_from_a_file_and_as_a_program(tmp_path: Path) -> None:
    from lowbit.export.library import export_executable

    model, example = tiny.network()
    network = build(model, example, config="8/int8", target=EMULATED.name)
    x = example.numpy()
    again = lowbit.load(network.save(tmp_path / "net.lowbit"))
    np.testing.assert_array_equal(again(x), network(x))
    program = export_executable(network, tmp_path / "program")
    np.ascontiguousarray(x).tofile(tmp_path / "in")
    subprocess.run([program, "--runs", "1", "-o", tmp_path / "out", tmp_path / "in"], check=True, capture_output=True)
    np.testing.assert_array_equal(np.fromfile(tmp_path / "out", np.float32).reshape(network(x).shape), network(x))


@pytest.mark.skipif(REAL.features <= host_features(), reason="this CPU has tiles")
def test_without_tiles_it_is_our_error(tmp_path: Path) -> None:
    """Loading, calling and a static program: a sentence, never a signal."""
    from lowbit.export.library import export_executable

    torch.manual_seed(0)
    model, example = tiny.network()
    network = build(model, example, config="8/int8", target=REAL.name)
    assert any(form.endswith("_amx") for form in forms(network))
    again = lowbit.load(network.save(tmp_path / "net.lowbit"))
    with pytest.raises(ArtifactError, match="was compiled for x86-64-v4-amx; this CPU lacks amx-int8, amx-tile"):
        again(example.numpy())
    program = export_executable(network, tmp_path / "program")
    done = subprocess.run([program, "--random", "1"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (3, "")
    assert "was compiled for x86-64-v4-amx; this CPU lacks amx-int8" in done.stderr
