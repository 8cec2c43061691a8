"""Shared by all tests: a kernel cache of the test run's own, and markers that name what a test needs."""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path

import pytest

if os.environ.get("PYTEST_XDIST_WORKER"):  # one worker a core: more threads would only wait for each other
    for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(_variable, "1")


MEMORY = 6 << 30
"""Bytes of resident memory that a process of the test run may have: a pass that never ends shall not take the machine along."""


def resident() -> int:
    """Bytes of memory that this process has now."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def watch_memory(limit: int = MEMORY, every: float = 1.0) -> None:
    """Ends the process, with the stack of every thread, when it has more than ``limit`` bytes."""
    while resident() <= limit:
        time.sleep(every)
    print(f"this process has more than {limit >> 20} MiB of memory; every thread's stack:", file=sys.stderr, flush=True)
    faulthandler.dump_traceback(all_threads=True)
    os._exit(3)


def _runs(find: Callable[[], object]) -> bool:
    from lowbit.errors import ToolMissing

    try:
        find()
    except ToolMissing:
        return False
    return True


def _qemu() -> bool:
    from lowbit.backend.toolchain import compiler_for
    from lowbit.emulate.tools import find_qemu_user

    return _runs(lambda: compiler_for("aarch64", static=True)) and _runs(lambda: find_qemu_user("aarch64"))


def _board() -> bool:
    from lowbit.emulate.board_files import find_kernel, find_system_qemu

    return _qemu() and _runs(find_system_qemu) and _runs(lambda: find_kernel("bcm2711-rpi-4-b.dtb"))


def _llvm() -> bool:
    from lowbit.emulate.estimate import can_estimate

    return can_estimate()


_NEEDS = {
    "qemu": (_qemu, "apt-get install qemu-user gcc-aarch64-linux-gnu libc6-dev-arm64-cross"),
    "board": (_board, "lowbit setup board"),
    "llvm": (_llvm, "apt-get install llvm-19"),
    "data": (lambda: bool(os.environ.get("LOWBIT_DATA")), "LOWBIT_DATA does not name the pretrained networks and images"),
    "peers": (lambda: find_spec("onnxruntime") is not None and find_spec("onnx") is not None, "onnxruntime is not installed"),
}


def pytest_configure(config: pytest.Config) -> None:
    if sys.platform == "linux":
        threading.Thread(target=watch_memory, daemon=True).start()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the texts in tests/golden/expected anew")


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Workers of one run share a cache of the run's own, unless LOWBIT_CACHE names another."""
    root = tmp_path_factory.getbasetemp()
    shared = root.parent if os.environ.get("PYTEST_XDIST_WORKER") else root
    from lowbit.emulate.board_files import board_folder

    os.environ.setdefault("LOWBIT_BOARD", str(board_folder()))  # fetched once, not by tests
    os.environ.setdefault("LOWBIT_CACHE", str(shared / "lowbit-cache"))
    os.environ["LOWBIT_TUNING"] = "off"  # what was measured on some machine decides about no test


@pytest.fixture
def data_root() -> Path:
    return Path(os.environ["LOWBIT_DATA"])


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory: pytest.TempPathFactory, _own_cache: None) -> Mapping[str, Path]:
    """tests.tiny compiled: configuration -> artifact."""
    import lowbit
    from tests import tiny

    folder = tmp_path_factory.mktemp("artifacts")
    model, example = tiny.network()
    paths = {}
    for config in ("fp32", "8/int8", "4/int8", "4/int4"):
        network = lowbit.compile(model, example, config=None if config == "fp32" else config, calibration=[example], name="tiny")
        paths[config] = network.save(folder / f"{config.replace('/', '-')}.lowbit")
    return paths


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for marker, (available, reason) in _NEEDS.items():
            if item.get_closest_marker(marker) and not available():
                item.add_marker(pytest.mark.skip(reason=reason))
