"""Whole boards under QEMU's system mode, with a Linux kernel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lowbit.emulate.board import BOARDS, emulate_board
from lowbit.errors import ConfigError, LowbitError, ToolMissing
from tests.emulate.networks import compiled, example

RUNS = [
    ("raspi3b", "raspberry-pi-3", "Raspberry Pi 3"),
    ("raspi4b", "raspberry-pi-4", "Raspberry Pi 4"),
    ("virt", "raspberry-pi-5", "linux,dummy-virt, cortex-a76"),
]


@pytest.mark.board
@pytest.mark.parametrize(("board", "target", "model"), RUNS)
def test_equals_the_oracle(board: str, target: str, model: str) -> None:
    network, x = compiled("mixed", "4/int4", target), example("mixed")
    done = emulate_board(network, [x], board, runs=2, threads=4, timeout=240)
    assert done.verdict.exact
    np.testing.assert_array_equal(done.outputs[0], compiled("mixed", "4/int4")(x))
    assert done.threads == 4
    assert done.times["min_ms"] > 0
    assert len(done.layers) == len(network.manifest["layers"])
    assert f"-M {board}, Linux on {model}" in done.where


@pytest.mark.board
def test_a_program_for_another_cpu_says_so() -> None:
    with pytest.raises(LowbitError, match="exit code 3: mixed was compiled for raspberry-pi-5; this CPU lacks dotprod"):
        emulate_board(compiled("mixed", "4/int4", "raspberry-pi-5"), [example("mixed")], "raspi4b", timeout=240)


@pytest.mark.board
def test_a_board_that_does_not_come_up_is_given_up() -> None:
    with pytest.raises(LowbitError, match="did not end within 0.2 s"):
        emulate_board(compiled("mixed", "4/int4", "raspberry-pi-4"), [example("mixed")], "raspi4b", timeout=0.2)


def test_unknown_boards() -> None:
    with pytest.raises(ConfigError, match=f"unknown board 'zx81'; boards: {', '.join(BOARDS)}"):
        emulate_board(compiled("mixed", "4/int4", "raspberry-pi-4"), [example("mixed")], "zx81")


def test_without_its_files_the_message_says_how_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOWBIT_BOARD", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissing, match="it is not installed: lowbit setup board"):
        emulate_board(compiled("mixed", "4/int4", "raspberry-pi-4"), [example("mixed")], "raspi4b")
