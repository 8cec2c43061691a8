"""Memory does not grow with runs, refusals, profiles, or networks that come and go."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

import lowbit
from lowbit.errors import InputError
from lowbit.runtime.compiled import Compiled

RUNS = 100_000
ROOM = 3_000_000  # bytes that allocators may keep, one huge page of 2 MiB among them; 32 a run, malloc's least, are more


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def use(network: Compiled, x: np.ndarray, runs: int) -> None:
    for i in range(runs):
        network(x)
        if i % 100 == 0:
            network.profile(x, runs=1, peaks=False)
            with suppress(InputError):
                network(x[:, :1])


def soak(network: Compiled, runs: int) -> int:
    """Bytes by which ``runs`` runs by two threads make the process grow, after some by as many to warm up: the allocator keeps
    an area for each thread, the network one for each run at once."""
    x = np.ones(network.input_shapes[0], np.float32)
    both(network, x, 1000)
    before = resident()
    both(network, x, runs // 2)
    return resident() - before


def both(network: Compiled, x: np.ndarray, runs: int) -> None:
    """So many runs by each of two threads."""
    threads = [threading.Thread(target=use, args=(network, x, runs)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("threads", [1, 2])
def test_runs(artifacts: Mapping[str, Path], threads: int) -> None:
    network = lowbit.load(artifacts["8/int8"], threads=threads)
    assert soak(network, RUNS) < ROOM


def test_networks_that_come_and_go(artifacts: Mapping[str, Path]) -> None:
    x = np.ones((1, 3, 8, 8), np.float32)

    def turn(count: int) -> None:
        for i in range(count):
            network = lowbit.load(artifacts["4/int4"], threads=1 + i % 2)
            network(x)
            if i % 3:
                network.close()

    turn(50)
    before = resident()
    turn(300)
    assert resident() - before < ROOM
