"""Networks together with inputs to trace them with."""

from __future__ import annotations

import pytest
import torch

from lowbit.errors import ConfigError
from lowbit.zoo import load_model, load_network


def test_a_network_of_the_table_brings_its_inputs() -> None:
    _, (x,) = load_network("lenet5")
    assert x.shape == (1, 1, 32, 32)
    assert load_network("lenet5", batch=3)[1][0].shape == (3, 1, 32, 32)
    assert load_network("lenet5", (2, 1, 32, 32))[1][0].shape == (2, 1, 32, 32)


def test_a_factory_may_bring_its_inputs() -> None:
    model, (x,) = load_network("tests.tiny:network")
    assert model(x).shape == (1, 10)
    assert not model.training
    assert isinstance(load_model("tests.tiny:network"), torch.nn.Module)
    assert load_network("tests.tiny:network", batch=4)[1][0].shape == (4, 3, 8, 8)


def test_inputs_of_a_shape_are_seeded() -> None:
    a, b = (load_network("tests.tiny:module", (1, 3, 8, 8))[1][0] for _ in range(2))
    assert torch.equal(a, b)


def test_a_module_alone_needs_a_shape() -> None:
    with pytest.raises(ConfigError, match="say the shape of its input, for example --input-shape"):
        load_network("tests.tiny:module")


def test_no_batch_can_be_made_of_several_inputs() -> None:
    assert len(load_network("tests.tiny:two_inputs")[1]) == 2
    with pytest.raises(ConfigError, match="a batch of 2 cannot be made of its inputs"):
        load_network("tests.tiny:two_inputs", batch=2)


def test_example_inputs_are_tensors() -> None:
    with pytest.raises(ConfigError, match="its example inputs must be tensors"):
        load_network("tests.tiny:strange_inputs")
