"""Networks of the zoo, at small resolution, compiled for the Raspberry Pi and run under QEMU."""

from __future__ import annotations

import numpy as np
import pytest

from lowbit.emulate.user import emulate_user
from tests.emulate.networks import EVERY, compiled, example

TARGETS = ("raspberry-pi-4", "raspberry-pi-5")
RUNS = [
    *(("decoder", config, TARGETS[i % 2]) for i, config in enumerate(EVERY)),
    *(("mobilenet_v1", config, TARGETS[i % 2]) for i, config in enumerate(EVERY)),
    *(("resnet50", config, target) for config in ("fp32", "8/int8") for target in TARGETS),
]


@pytest.mark.qemu
@pytest.mark.parametrize(("name", "config", "target"), RUNS)
def test_network(name: str, config: str, target: str) -> None:
    done = emulate_user(compiled(name, config, target), [example(name)], threads=2, count=False)
    assert np.isfinite(done.outputs[0]).all()
    if config == "fp32":
        assert done.verdict.max_error < 1e-4
    else:
        assert done.verdict.exact is True


@pytest.mark.qemu
@pytest.mark.parametrize("target", TARGETS)
def test_resnet50_equals_this_machine(target: str) -> None:
    x = example("resnet50")
    done = emulate_user(compiled("resnet50", "8/int8", target), [x], count=False)
    np.testing.assert_array_equal(done.outputs[0], compiled("resnet50", "8/int8")(x))
