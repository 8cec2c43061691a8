"""Networks without an operating system: equal to the oracle, or an exit code that says what is wrong."""

from __future__ import annotations

import numpy as np
import pytest

from lowbit.backend.bare import BARE_BOARDS
from lowbit.emulate import bare
from lowbit.emulate.bare import make_bare, run_bare
from lowbit.errors import ConfigError, InputError
from lowbit.targets import find_target
from tests.emulate.networks import compiled, example

BOARDS = {"raspi3b": "raspberry-pi-3", "raspi4b": "raspberry-pi-4", "virt": "raspberry-pi-5"}
RUNS = [(name, config, board) for name in ("mlp_jsc", "lenet5") for config in ("8/int8", "4/int4") for board in BARE_BOARDS]


@pytest.mark.board
@pytest.mark.parametrize(("name", "config", "board"), [*RUNS, ("mixed", "2/int2", "raspi4b")])
def test_equals_the_oracle(name: str, config: str, board: str) -> None:
    target = BOARDS[board]
    program = make_bare(compiled(name, config, target), board, [example(name)])
    values = np.prod(compiled(name, config, target).output_shapes[0])
    assert run_bare(program, board, find_target(target)) == (
        0,
        f"{name}: {values} of {values} output values equal the expected ones",
    )


@pytest.mark.board
def test_a_difference_is_an_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    right = bare.expected_outputs

    def wrong(graph: object, inputs: list[np.ndarray]) -> list[np.ndarray]:
        (y,) = right(graph, inputs)  # type: ignore[arg-type]
        y[0, 2] += 1
        return [y]

    monkeypatch.setattr(bare, "expected_outputs", wrong)
    program = make_bare(compiled("mlp_jsc", "8/int8", "raspberry-pi-4"), "raspi4b", [example("mlp_jsc")])
    assert run_bare(program, "raspi4b", find_target("raspberry-pi-4")) == (
        1,
        "mlp_jsc: 4 of 5 output values equal the expected ones",
    )


@pytest.mark.board
def test_a_program_for_another_cpu_says_so() -> None:
    program = make_bare(compiled("lenet5", "8/int8", "raspberry-pi-5"), "raspi4b", [example("lenet5")])
    code, said = run_bare(program, "raspi4b", find_target("raspberry-pi-4"))
    assert code == 3
    assert said.startswith("lenet5: illegal instruction: compiled for raspberry-pi-5, instruction at ")


def test_what_cannot_be_made() -> None:
    network = compiled("mlp_jsc", "8/int8", "raspberry-pi-4")
    with pytest.raises(ConfigError, match=r"unknown board 'zx81'; boards: raspi3b, raspi4b, virt"):
        make_bare(network, "zx81", [example("mlp_jsc")])
    with pytest.raises(InputError, match="expected float32"):
        make_bare(network, "virt", [np.zeros(3)])
    with pytest.raises(ConfigError, match="quantize the network"):
        make_bare(compiled("mlp_jsc", "fp32", "raspberry-pi-4"), "virt", [example("mlp_jsc")])
    with pytest.raises(ConfigError, match="not emulated"):
        make_bare(compiled("mlp_jsc", "8/int8"), "virt", [example("mlp_jsc")])
