"""Networks under fitted costs: other kernels, the same integers; and saved ones, which costs cannot change."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import lowbit
from lowbit.errors import ConfigError
from lowbit.lowering import print_program
from lowbit.quantization import parse_config
from lowbit.quantizer import quantized
from lowbit.targets import costs, find_target
from lowbit.tracer import trace
from tests import tiny


@pytest.mark.parametrize("config", ["w7a7", "2/int2"])
def test_costs_change_no_integer_and_no_saved_network(config: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Costs of a toy that likes nothing but portable kernels: "native" with it computes what it computes without."""
    model, example = tiny.network()
    chosen = parse_config(config)
    assert chosen is not None
    graph = quantized(trace(model, example), chosen, [(example,)])
    native = replace(find_target(), costs="")
    toy = costs.Costs("toy", costs.Cpu("toy", 1, 1), native.name, {"direct": {"u8_portable": 1e-5}})
    with monkeypatch.context() as patch:
        for module in ("forms", "forms.form", "selection.winograd"):
            patch.setattr(f"lowbit.kernels.conv2d.{module}.read_costs", lambda name: toy if name else costs.read_costs(""))
        typed, fitted = (
            lowbit.compile(graph, target=target, tuning=False, name="tiny") for target in (native, replace(native, costs="toy"))
        )
    forms = [{layer["spec"].get("form") for layer in network.manifest["layers"]} - {None} for network in (typed, fitted)]
    assert forms[1] == {"u8_portable"} != forms[0]
    np.testing.assert_array_equal(typed(example.numpy()), fitted(example.numpy()))

    with pytest.raises(ConfigError, match="no costs 'toy'"):
        costs.read_costs("toy")
    path = fitted.save(tmp_path / "tiny.lowbit")
    loaded = lowbit.load(path)  # where nobody knows these costs
    assert loaded.target.costs == "toy"
    assert print_program(loaded.program()) == print_program(fitted.program())
    np.testing.assert_array_equal(loaded(example.numpy()), typed(example.numpy()))
    assert loaded.profile(example.numpy(), runs=1, peaks=False).operations
