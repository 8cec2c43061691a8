"""Times of kernels, once each."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import lowbit
from lowbit.errors import ConfigError
from lowbit.lowering import lower
from lowbit.searching.clock import EmulatedClock, HostClock, clock_for
from lowbit.searching.quiet import busy, quiet
from lowbit.targets import find_target
from tests.searching.networks import calibrated, traced

HOST = find_target("native")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Times of other runs are not known; kernels are."""
    import lowbit.searching.clock
    import lowbit.searching.quiet

    monkeypatch.setattr(lowbit.searching.clock, "cache_folder", lambda: tmp_path)
    monkeypatch.setattr(lowbit.searching.quiet, "cache_folder", lambda: tmp_path)


def network(config: str, target: Any = HOST) -> Any:
    graph = traced(1)
    return lowbit.compile(graph, config=config, calibration=calibrated(traced()), method="nearest", target=target, threads=1)


def test_prediction_is_near_the_measured_network() -> None:
    clock = HostClock(HOST, 1)
    net = network("w4a8")
    predicted = clock.predict(net.program(), lambda: net)
    measured = clock.measure({"net": net})["net"]
    assert predicted.ms == pytest.approx(measured.ms, rel=0.5)  # microseconds here, on a machine that others use
    assert predicted.error >= 0


def test_a_kernel_is_timed_once() -> None:
    clock = HostClock(HOST, 1)
    net = network("w4a8")
    first = clock.predict(net.program(), lambda: net)

    def fail() -> Any:
        raise AssertionError("known kernels need no network")

    assert clock.predict(net.program(), fail) == first
    assert HostClock(HOST, 1).predict(net.program(), fail) == first  # kept in the cache
    with pytest.raises(AssertionError, match="known kernels"):
        HostClock(HOST, 2).predict(net.program(), fail)  # of other threads nothing is known


def test_a_sum_of_kernels() -> None:
    clock = HostClock(HOST, 1)
    net = network("w4a8")
    clock.predict(net.program(), lambda: net)
    symbols = [call.spec.symbol(HOST.name) for call in net.program().calls]
    clock._table.held.update({symbol: {"ns": 1000.0 * (i + 1), "error": 3.0} for i, symbol in enumerate(dict.fromkeys(symbols))})
    clock._table.held["between"] = {"ns": 10.0, "error": 0.0}
    order = list(dict.fromkeys(symbols))
    wanted = sum(1000.0 * (order.index(s) + 1) + 10.0 for s in symbols) * 1e-6
    reading = clock.predict(net.program(), lambda: net)
    assert reading.ms == pytest.approx(wanted)
    assert reading.error == pytest.approx(3e-6 * len(symbols) ** 0.5)


def test_a_target_that_is_neither_here_nor_emulated() -> None:
    from dataclasses import replace

    strange = replace(find_target("raspberry-pi-4"), qemu_cpu="")
    with pytest.raises(ConfigError, match="neither runs it nor emulates it"):
        clock_for(strange, 1)


@pytest.mark.qemu
@pytest.mark.llvm
def test_instructions_of_a_board_are_exact_sums() -> None:
    board = find_target("raspberry-pi-4")
    clock = clock_for(board, 4)
    assert isinstance(clock, EmulatedClock)
    net = network("w4a8", board)
    program = lower(net.graph(), board)
    predicted = clock.predict(program, lambda: net)
    measured = clock.measure({"net": net})["net"]
    assert predicted.instructions == measured.instructions
    assert predicted.ms == pytest.approx(measured.ms)
    assert clock.predict(program, lambda: pytest.fail("known kernels need no network")) == predicted


def test_who_measures_is_alone(tmp_path: Path) -> None:
    log: list[str] = []
    inside = threading.Event()

    def measure() -> None:
        with quiet(tmp_path):
            log.append("begin")
            inside.set()
            time.sleep(0.2)
            log.append("end")

    with busy(tmp_path), busy(tmp_path):  # several compute at once
        waiting = threading.Thread(target=measure)
        waiting.start()
        assert not inside.wait(0.2)
    assert inside.wait(5)
    with busy(tmp_path):
        log.append("work")
    waiting.join()
    assert log == ["begin", "end", "work"]


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    pid = os.fork()
    if pid == 0:
        with quiet(tmp_path):
            os._exit(9)
    os.waitpid(pid, 0)
    held = os.open(tmp_path / "work.lock", os.O_RDWR)
    fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(held)
