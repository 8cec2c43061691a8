"""Networks compiled for the Raspberry Pi, run under QEMU's user mode: what they compute, and how they say no."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

import lowbit
from lowbit.emulate.tools import find_qemu_user
from lowbit.emulate.user import emulate_user, random_inputs
from lowbit.errors import ArtifactError, ConfigError, InputError, LowbitError, ToolMissing
from lowbit.export.library import export_executable
from tests.emulate.networks import EVERY, compiled, example

PI4, PI5 = "raspberry-pi-4", "raspberry-pi-5"


@pytest.mark.qemu
@pytest.mark.parametrize("target", [PI4, PI5])
@pytest.mark.parametrize("config", [*EVERY, "all b1", "w4a8"])
def test_equals_the_oracle_and_this_machine(config: str, target: str) -> None:
    """At every width: dense, grouped, depthwise and strided convolutions, pools, tables, softmax."""
    x = example("mixed")
    done = emulate_user(compiled("mixed", config, target), [x], threads=2, count=False)
    here = compiled("mixed", config)(x)
    (y,) = done.outputs
    assert np.isfinite(y).all()
    if config == "fp32":
        assert done.verdict.exact is None
        assert done.verdict.max_error < 1e-4
        np.testing.assert_allclose(y, here, rtol=0, atol=2e-4 * np.abs(here).max())
    else:
        assert done.verdict.exact is True
        np.testing.assert_array_equal(y, here)


@pytest.mark.qemu
@pytest.mark.parametrize("value", [np.nan, np.inf, -1e30])
def test_inputs_nobody_calibrated_for(value: float) -> None:
    x = np.full(compiled("mixed", "8/int8", PI4).input_shapes[0], value, np.float32)
    assert emulate_user(compiled("mixed", "8/int8", PI4), [x], count=False).verdict.exact


@pytest.mark.qemu
def test_a_wrong_output_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lowbit.emulate.result.expected_outputs", lambda *_, **__: [np.zeros((2, 7), np.float32)])
    verdict = emulate_user(compiled("mixed", "8/int8", PI4), [example("mixed")], count=False).verdict
    assert verdict.exact is False
    assert str(verdict).startswith("WRONG")


@pytest.mark.qemu
def test_a_program_for_the_pi_5_on_a_pi_4_says_what_is_missing() -> None:
    network = compiled("mixed", "8/int8", PI5)
    with pytest.raises(LowbitError, match="exit code 3: mixed was compiled for raspberry-pi-5; this CPU lacks dotprod"):
        emulate_user(network, [example("mixed")], cpu="cortex-a72", count=False)


@pytest.mark.qemu
def test_an_illegal_instruction_is_explained(tmp_path: Path) -> None:
    """The second net: the same program with its list of features emptied, so that nothing is checked first."""
    network = compiled("mixed", "8/int8", PI5)
    program = export_executable(network, tmp_path / "program")
    listed = program.read_bytes()
    assert listed.count(b"dotprod\0") >= 1
    program.write_bytes(listed.replace(b"dotprod\0", b"neon\0\0\0\0"))
    example("mixed").tofile(tmp_path / "x.raw")
    command = [find_qemu_user("aarch64"), "-cpu", "cortex-a72", program, tmp_path / "x.raw"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 3, done.stderr
    assert "illegal instruction: compiled for raspberry-pi-5" in done.stderr


@pytest.mark.qemu
def test_a_program_that_takes_too_long() -> None:
    with pytest.raises(LowbitError, match="did not end within 0.001 s"):
        emulate_user(compiled("mixed", "8/int8", PI4), [example("mixed")], timeout=0.001, count=False)


def test_inputs_are_checked_first() -> None:
    network = compiled("mixed", "8/int8", PI4)
    with pytest.raises(InputError, match="takes 1 inputs, 2 given"):
        emulate_user(network, [*random_inputs(network)] * 2)
    with pytest.raises(InputError, match=r"expected float32 \(2, 3, 9, 10\), got float64 \(1,\)"):
        emulate_user(network, [np.zeros(1)])


def test_a_network_for_this_machine_is_not_emulated() -> None:
    with pytest.raises(ConfigError, match="`lowbit run` runs it here"):
        emulate_user(compiled("mixed", "8/int8"), [example("mixed")])


def test_without_qemu_the_message_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lowbit.emulate.tools._path", lambda name: None)
    with pytest.raises(ToolMissing, match="apt-get install qemu-user"):
        emulate_user(compiled("mixed", "8/int8", PI4), [example("mixed")])


def test_a_foreign_network_is_read_but_not_run(tmp_path: Path) -> None:
    network = lowbit.load(compiled("mixed", "8/int8", PI4).save(tmp_path / "net.lowbit"))
    assert network.input_shapes == ((2, 3, 9, 10),)
    assert network.output_shapes == ((2, 7),)
    assert "runs elsewhere" in repr(network)
    assert len(network.graph().nodes) > 5
    assert network.save(tmp_path / "again.lowbit").read_bytes() == (tmp_path / "net.lowbit").read_bytes()
    for use in (lambda: network(example("mixed")), lambda: network.threads, lambda: network.profile(example("mixed"))):
        with pytest.raises(ArtifactError, match=r"compiled for raspberry-pi-4.*lowbit emulate.*--executable"):
            use()
    network.close()
