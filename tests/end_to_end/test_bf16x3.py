"""Whole networks whose float32 layers multiply as three products of bfloat16, on emulated AMX tiles."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import lowbit
from lowbit.errors import ConfigError, UnsupportedPrecision
from lowbit.kernels.conv2d.reference import accumulate, convolution
from lowbit.kernels.conv2d.spec import ConvSpec
from lowbit.lowering.elementwise import float_bounds
from lowbit.numerics.bfloat16 import bf16x3_underflow
from lowbit.runtime.compiled import Compiled
from lowbit.targets import TARGETS
from lowbit.targets.host import obstacle
from lowbit.zoo.building import load_network
from tests import tiny

EMULATED = "x86-64-v3-amx-emulated"
emulated = pytest.mark.skipif(bool(obstacle(TARGETS[EMULATED])), reason="this CPU does not even emulate tiles")


def build(model: Any, example: Any, **options: Any) -> Compiled:
    return lowbit.compile(model, example, **{"target": EMULATED, "float": "bf16x3", "threads": 1, **options})


@emulated
@pytest.mark.parametrize(("name", "least"), [("cifar_resnet8", 6), ("cifar_resnet20", 18), ("densenet_block", 3)])
def test_every_layer_of_a_network_is_the_model_s(name: str, least: int) -> None:
    """The network shows the result of every node: each layer that multiplies so has the bits of the model in numpy on the inputs
    that the network itself made, and is within the stated bound of their products in float64."""
    model, examples = load_network(name)
    graph = lowbit.trace(model, examples[0])
    graph = replace(graph, outputs=tuple(node.name for node in graph.nodes), structure=None)
    network = build(graph, None)
    x = np.random.default_rng(0).standard_normal(tuple(examples[0].shape), np.float32)
    first = network.outputs(x)
    network.threads = 2
    for one, two in zip(first, network.outputs(x), strict=True):
        np.testing.assert_array_equal(one, two)
    values = {graph.inputs[0]: x, **dict(zip(graph.outputs, first, strict=True))}
    specs = {layer["name"]: spec for layer, spec in zip(network.layers, network.specs, strict=True) if layer["macs"]}
    seen = 0
    for node in graph.nodes:
        spec = specs.get(node.name)
        if node.name not in network.float_error or not isinstance(spec, ConvSpec):
            continue
        seen += 1
        source, w, bias = (values[node.inputs[0]], *(np.asarray(graph.constants[c], np.float32) for c in node.inputs[1:3]))
        layer_in = source.reshape(*source.shape, *(1,) * (4 - source.ndim)).transpose(0, 2, 3, 1)
        halo = ((0, 0), (spec.src.top, spec.src.bottom), (spec.src.left, spec.src.right), (0, 0))
        padded = np.pad(layer_in, halo)
        taps = np.ascontiguousarray(w.reshape(*w.shape, *(1,) * (4 - w.ndim)).transpose(0, 2, 3, 1))
        residual = values[node.inputs[3]].transpose(0, 2, 3, 1) if node.attrs.get("residual") else None
        lo, hi = float_bounds(node)
        got = values[node.name].transpose(0, 2, 3, 1) if values[node.name].ndim == 4 else values[node.name][:, None, None, :]
        want = convolution(spec, padded, taps, bias, np.array([lo, hi], np.float32), residual)
        np.testing.assert_array_equal(got, want, err_msg=node.name)
        added = np.abs(bias) + (0 if residual is None else np.abs(residual))
        sizes = accumulate(spec, np.abs(padded), np.abs(taps)) + added
        exact = accumulate(spec, padded, taps) + bias + (0 if residual is None else residual.astype(np.float64))
        bound = network.float_error[node.name] * sizes + bf16x3_underflow(1000, 1e6)
        assert (np.abs(got - np.clip(exact, lo, hi)) <= bound).all(), node.name
    assert seen == len(network.float_error) >= least


@emulated
def test_a_network_is_near_float32(tmp_path: Path) -> None:
    """As a file and as a program, too; and what is float32 stays so where nobody asks."""
    from lowbit.export.library import export_executable

    model, examples = load_network("cifar_resnet8")
    x = np.random.default_rng(1).standard_normal(tuple(examples[0].shape), np.float32)
    asked, plain = build(model, examples[0]), build(model, examples[0], float="float32")
    assert asked.float_error
    assert not plain.float_error
    assert not any(layer["spec"].get("form") == "bf16x3_amx" for layer in plain.manifest["layers"])
    near, exact = asked(x), plain(x)
    assert 0 < np.abs(near - exact).max() < 1e-4 * np.abs(exact).max()
    again = lowbit.load(asked.save(tmp_path / "net.lowbit"))
    assert again.float_error == asked.float_error
    np.testing.assert_array_equal(again(x), near)
    program = export_executable(asked, tmp_path / "program")
    x.tofile(tmp_path / "in")
    subprocess.run([program, "--runs", "1", "-o", tmp_path / "out", tmp_path / "in"], check=True, capture_output=True)
    np.testing.assert_array_equal(np.fromfile(tmp_path / "out", np.float32).reshape(near.shape), near)


@emulated
def test_a_linear_layer_of_many_rows() -> None:
    import torch

    torch.manual_seed(0)
    network = build(torch.nn.Linear(96, 64), torch.zeros(64, 96))
    assert list(network.float_error.values()) == [network.specs[-2].relative_error]
    x = np.random.default_rng(2).standard_normal((64, 96), np.float32)
    w, b = (np.asarray(c, np.float64) for c in network.graph().constants.values() if c.ndim)
    weights, bias = (w, b) if w.ndim == 2 else (b, w)
    bound = next(iter(network.float_error.values())) * (np.abs(x) @ np.abs(weights).T + np.abs(bias))
    assert (np.abs(network(x) - (x @ weights.T + bias)) <= bound).all()


def test_targets_without_it_are_refused_with_those_that_have_it() -> None:
    model, example = tiny.network()
    for target in ("x86-64-v3", "x86-64-v4-amx", "raspberry-pi-5", "cuda-sm90"):
        with pytest.raises(
            UnsupportedPrecision,
            match=f"float=.bf16x3. needs amx-bf16 and amx-tile, which {target} lacks; targets that have them: "
            r"x86-64-v4-amx-bf16, x86-64-v3-amx-emulated \(emulated\)",
        ):
            build(model, example, target=target)
    off = replace(TARGETS["x86-64-v4-amx-bf16"], without=frozenset({"amx"}))
    with pytest.raises(UnsupportedPrecision, match="techniques are switched off here: amx"):
        build(model, example, target=off)


def test_it_is_for_floats() -> None:
    model, example = tiny.network()
    with pytest.raises(ConfigError, match="one of 'float32', 'bf16x3', not 'bf16'"):
        build(model, example, float="bf16")
    with pytest.raises(ConfigError, match="for layers of float32, and this network's are integers"):
        build(model, example, config="8/int8")
    integer = lowbit.compile(model, example, config="8/int8", calibration=[(example,)], target="x86-64-v3").graph()
    with pytest.raises(ConfigError, match="for layers of float32, and this network's are integers"):
        build(integer, None)
    with pytest.raises(ConfigError, match="for layers of float32"):
        lowbit.tune(model, example, config="8/int8", target=EMULATED, float="bf16x3")


@emulated
def test_tuning_measures_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what it finds is not used where nobody asks for it."""
    monkeypatch.setenv("LOWBIT_CACHE", str(tmp_path))
    monkeypatch.setenv("LOWBIT_TUNING", "on")
    model, example = tiny.network()
    report = lowbit.tune(model, example, target=EMULATED, float="bf16x3", threads=1, seconds=20, trials=3, pattern="body")
    assert report.rows
    found = build(model, example)
    assert next(layer for layer in found.manifest["layers"] if layer["name"] == "body" and layer["macs"])["tuned"]
    assert not build(model, example, float="float32").float_error


@emulated
def test_the_command_line(tmp_path: Path) -> None:
    from lowbit.cli.app import app

    run = CliRunner().invoke
    common = ["--target", EMULATED, "--float", "bf16x3"]
    done = run(app, ["compile", "cifar_resnet8", "-o", str(tmp_path / "net.lowbit"), *common])
    assert done.exit_code == 0, done.output
    errors = lowbit.load(tmp_path / "net.lowbit").float_error
    assert errors
    done = run(app, ["info", str(tmp_path / "net.lowbit")])
    said = f"{len(errors)} layers multiply as was asked for, off by at most {max(errors.values()):.1e}"
    assert said in " ".join(done.output.split())
    done = run(app, ["bench", "cifar_resnet8", "--configs", "fp32", "--runs", "1", "--threads", "1", *common])
    assert done.exit_code == 0, done.output
    assert "three products of bfloat16" in " ".join(done.output.split())
    done = run(app, ["compile", "cifar_resnet8", "-o", str(tmp_path / "no.lowbit"), "--target", "x86-64-v3", "--float", "bf16x3"])
    assert done.exit_code != 0
    done = run(app, ["bench", "cifar_resnet8", "--configs", "8/int8", *common])
    assert done.exit_code != 0
