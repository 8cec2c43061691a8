"""Texts of the command line."""

from __future__ import annotations

import pytest

from lowbit.cli.options import choose_config, names, parse_layers, parse_shape
from lowbit.errors import ConfigError
from lowbit.numerics import QType


def test_names() -> None:
    assert names("fp32, 8/int8,,") == ("fp32", "8/int8")
    assert names("") == ()


def test_shapes() -> None:
    assert parse_shape("1x3x224x224") == (1, 3, 224, 224)
    assert parse_shape("4X16") == (4, 16)


@pytest.mark.parametrize("text", ["", "1,3", "1x0x3", "ax2", "1x-2"])
def test_not_a_shape(text: str) -> None:
    with pytest.raises(ConfigError, match="is not a shape; write extents .* 1x3x224x224"):
        parse_shape(text)


def test_layers() -> None:
    plan = parse_layers(["layer1.*=i8/u4", "fc=i4"])
    assert (plan["layer1.*"].weights, plan["layer1.*"].activations) == (QType.parse("i8"), QType.parse("u4"))
    assert (plan["fc"].weights, plan["fc"].activations) == (QType.parse("i4"), None)


@pytest.mark.parametrize("entry", ["layer1", "=i8", "layer1=", "layer1=/u8"])
def test_not_a_layer(entry: str) -> None:
    with pytest.raises(ConfigError, match="write PATTERN=WEIGHTS/ACTIVATIONS"):
        parse_layers([entry])


def test_short_form_with_layers_and_options() -> None:
    config = choose_config("4/int8", None, None, parse_layers(["fc=i8"]), {"observer": "minmax"})
    assert config is not None
    assert (str(config.weights), config.weight_container, config.observer) == ("i4", 8, "minmax")
    assert str(config.overrides["fc"].weights) == "i8"


def test_types() -> None:
    config = choose_config(None, "i4", "u8", {}, {})
    assert config is not None
    assert (str(config.weights), str(config.activations)) == ("i4", "u8")
    assert choose_config(None, None, None, {}, {}) is None
    assert choose_config("fp32", None, None, {}, {}) is None


def test_both_ways_at_once() -> None:
    with pytest.raises(ConfigError, match="either --config or --weights"):
        choose_config("8/int8", "i4", None, {}, {})


def test_a_float_network_has_no_options() -> None:
    with pytest.raises(ConfigError, match="observer given without weights"):
        choose_config("fp32", None, None, {}, {"observer": "minmax"})
