"""One network, one answer: on every target this CPU runs, by any number of threads, from memory or from a file."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import torch

import lowbit
from lowbit.runtime.compiled import Compiled
from lowbit.targets import TARGETS
from lowbit.targets.host import host_features
from lowbit.tracer import trace
from tests import tiny
from tests.end_to_end.check import agrees, build
from tests.end_to_end.test_extreme_inputs import SHAPE, Mixed

RUNNABLE = [name for name, target in TARGETS.items() if target.features <= host_features()]
CONFIGS = ("8/int8", "7/int7", "4/int4", "2/int2", "1/int1", "16/int16", "w4a8")


def _inputs(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(SHAPE, np.float32)


@pytest.mark.skipif(not RUNNABLE, reason="this CPU runs none of the targets")
@pytest.mark.parametrize("config", CONFIGS)
def test_targets_agree(config: str) -> None:
    torch.manual_seed(3)
    example = torch.randn(SHAPE)
    graph = trace(Mixed().eval(), example)
    outputs = {}
    for name in RUNNABLE:
        network = build(graph, example, config=config, target=name)
        assert network.manifest["target"]["name"] == name
        outputs[name] = [agrees(network, x)[0] for x in (example.numpy(), _inputs(1), 50 * _inputs(2))]
    for name in RUNNABLE:
        np.testing.assert_array_equal(outputs[name], outputs[RUNNABLE[0]], err_msg=f"{name} and {RUNNABLE[0]}")


@pytest.fixture(scope="module", params=["fp32", "8/int8", "1/int1"])
def network(request: pytest.FixtureRequest) -> Compiled:
    torch.manual_seed(3)
    return build(Mixed().eval(), torch.randn(SHAPE), config=request.param)


def test_any_number_of_threads(network: Compiled) -> None:
    x = _inputs(1)
    for threads in (1, 2, 5, 16, 2):
        network.threads = threads
        (y,) = [network(x)]
        if threads == 1:
            first = y
        np.testing.assert_array_equal(y, first)


def test_many_callers_at_once(network: Compiled) -> None:
    inputs = [_inputs(seed) for seed in range(4)]
    wanted = [network(x) for x in inputs]
    wrong: list[int] = []

    def call(offset: int) -> None:
        for turn in range(15):
            index = (turn + offset) % len(inputs)
            if not np.array_equal(network(inputs[index]), wanted[index]):
                wrong.append(index)

    callers = [threading.Thread(target=call, args=(offset,)) for offset in range(6)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert wrong == []


def test_from_a_file(network: Compiled, tmp_path: Path) -> None:
    again = lowbit.load(network.save(tmp_path / "net.lowbit"), threads=1)
    x = _inputs(5)
    np.testing.assert_array_equal(again(x), network(x))
    assert again.save(tmp_path / "again.lowbit").read_bytes() == (tmp_path / "net.lowbit").read_bytes()


def test_earlier_inputs_leave_no_trace(network: Compiled) -> None:
    """The arena is used again: what it holds must not matter."""
    x = _inputs(6)
    first = network(x)
    for value in (np.nan, np.inf, -1e30):
        network(np.full(SHAPE, value, np.float32))
    np.testing.assert_array_equal(network(x), first)


@pytest.mark.parametrize("config", ["fp32", "4/int4", "16/int16"])
def test_compiling_twice_gives_the_same_file(config: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second time from an empty cache, so that no step may depend on chance, time or place."""
    files = []
    for turn in range(2):
        monkeypatch.setenv("LOWBIT_CACHE", str(tmp_path / f"cache{turn}"))
        files.append(build(*tiny.network(), config=config).save(tmp_path / f"{turn}.lowbit").read_bytes())
    assert files[0] == files[1]
