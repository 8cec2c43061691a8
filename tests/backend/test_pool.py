from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from lowbit.backend.runtime_object import RUNTIME_FOLDER
from lowbit.backend.toolchain import C_FLAGS, find_compiler
from lowbit.errors import LowbitError
from tests.backend.toy import TARGET

SOURCES = [RUNTIME_FOLDER / name for name in ("pool.c", "cpu.c", "error.c")]


def stress(folder: Path, flags: list[str], name: str = "pool_stress.c") -> Path:
    source = Path(__file__).with_name(name)
    find_compiler(TARGET).run([*C_FLAGS, *flags, "-g", f"-I{RUNTIME_FOLDER}", source, *SOURCES, "-o", "stress"], folder)
    return folder / "stress"


def run(program: Path, *arguments: int) -> str:
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stress(tmp_path_factory.mktemp("pool"), [])


@pytest.mark.parametrize(("callers", "resize"), [(1, 0), (4, 0), (4, 1)])
def test_every_unit_once(plain: Path, callers: int, resize: int) -> None:
    assert run(plain, callers, resize, 3000) == "ok\n"


@pytest.mark.parametrize(("callers", "resize"), [(1, 0), (3, 1)])
def test_no_data_races(tmp_path: Path, callers: int, resize: int) -> None:
    """The thread sanitizer sees plain data handed between caller and workers."""
    try:
        program = stress(tmp_path, ["-fsanitize=thread"])
    except LowbitError as error:
        pytest.skip(f"no thread sanitizer: {error}")
    assert run(program, callers, resize, 400) == "ok\n"


def test_no_bad_accesses(tmp_path: Path) -> None:
    try:
        program = stress(tmp_path, ["-fsanitize=address,undefined", "-fno-sanitize-recover"])
    except LowbitError as error:
        pytest.skip(f"no address sanitizer: {error}")
    assert run(program, 3, 1, 300) == "ok\n"


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one CPU: threads take turns")
def test_threads_begin_with_shares_of_their_own(tmp_path: Path) -> None:
    assert run(stress(tmp_path, [], "pool_shares.c")) == "ok\n"


def test_late_workers_are_left_out_and_come_back(tmp_path: Path) -> None:
    """What a machine shared with other programs does to a pool."""
    assert run(stress(tmp_path, [], "pool_crowded.c")) == "ok\n"


def test_more_threads_and_callers_than_cpus(plain: Path) -> None:
    assert run(plain, 16, 1, 500) == "ok\n"
