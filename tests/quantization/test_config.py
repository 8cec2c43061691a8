from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np
import pytest

from lowbit.chosen_config import make_config
from lowbit.errors import ConfigError, UnsupportedPrecision
from lowbit.numerics import QType
from lowbit.quantization import (
    FixedPoint,
    FloatScale,
    GlobalScale,
    LayerPrecision,
    PerChannel,
    PerGroup,
    PerTensor,
    PowerOfTwo,
    QuantizationConfig,
    parse_config,
)


@pytest.mark.parametrize(
    ("text", "weights", "activations", "container"),
    [
        ("16/int16", "i16", "i16", 16),
        ("8/int8", "i8", "u8", 8),
        ("4/int8", "i4", "u4", 8),
        ("2/int8", "i2", "u2", 8),
        ("1/int8", "b1", "u1", 8),
        ("4/int4", "i4", "u4", 4),
        ("2/int2", "i2", "u2", 2),
        ("1/int1", "b1", "u1", 1),
        ("3/int16", "i3", "u3", 16),
        ("w4a8", "i4", "u8", None),
        (" W7A7 ", "i7", "u7", None),
        ("w1a16", "b1", "i16", None),
    ],
)
def test_forms(text: str, weights: str, activations: str, container: int | None) -> None:
    config = parse_config(text)
    assert config is not None
    assert (config.weights, config.activations) == (QType.parse(weights), QType.parse(activations))
    assert (config.weight_container, config.activation_container) == (container, container)


def test_fp32_is_no_quantization() -> None:
    assert parse_config("fp32") is None


@pytest.mark.parametrize("text", ["", "8", "int8", "8/int4", "4/int5", "9/int9", "w0a8", "w4", "w4a32", "0/int8", "8/uint8"])
def test_other_forms_are_refused_with_the_list(text: str) -> None:
    with pytest.raises(ConfigError, match=r"allowed: fp32; <n>/int<m>"):
        parse_config(text)


@pytest.mark.parametrize(
    ("fields", "error", "match"),
    [
        ({"weights": "u8"}, ConfigError, "weights are symmetric"),
        ({"weights": None}, ConfigError, "both need a type"),
        ({"activations": None}, ConfigError, "both need a type"),
        ({"activations": "u16"}, UnsupportedPrecision, "write i16"),
        ({"weight_container": 2}, ConfigError, "container of 2 bits for 4-bit values; write 4, 8 or 16"),
        ({"activation_container": 12}, ConfigError, "container of 12 bits"),
        ({"first_last_bits": 9}, ConfigError, "first_last_bits 9"),
        ({"observer": "max"}, ConfigError, "known: auto, aciq, entropy, minmax, moving_average, mse, percentile"),
        ({"percentile": 30.0}, ConfigError, "percentile 30"),
        ({"granularity": "per_row"}, ConfigError, "per_channel, per_tensor or per_group"),
        ({"granularity": "per_group:0"}, ConfigError, "per_channel, per_tensor or per_group"),
        ({"weights": "i8", "granularity": "per_group:32"}, UnsupportedPrecision, "up to 7 bits"),
        ({"scale": "fixed"}, ConfigError, "write float, power_of_two, fixed:"),
        ({"scale": "fixed:1.5"}, ConfigError, "write float, power_of_two, fixed:"),
        ({"scale": "global:-1"}, ConfigError, "write float, power_of_two, fixed:"),
        ({"scale": "log"}, ConfigError, "write float, power_of_two, fixed:"),
    ],
)
def test_refused_fields(fields: dict, error: type, match: str) -> None:
    with pytest.raises(error, match=match):
        QuantizationConfig(**{"weights": "i4", "activations": "u8", **fields})


KINDS = {
    "first_last_bits": "write 1..8, 16 or None", "weight_container": "None for packed", "activation_container": "None for packed",
    "observer": "write auto, minmax", "percentile": "a number above 50", "granularity": "write per_channel, per_tensor",
    "scale": "write float, power_of_two", "bias_correction": "True or False",
    "full_range": "True or False", "overrides": "a dict of patterns",
}  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("value", [None, 8.0, "a", b"a", True, [], {"a": 1}, Ellipsis, float("nan"), -1], ids=repr)
def test_wrong_types_are_refused(name: str, value: object) -> None:
    """Every field with every kind of value is taken or refused, by name or by what it would have to be."""
    allowed = {
        "first_last_bits": [None], "weight_container": [None], "activation_container": [None], "bias_correction": [True],
        "full_range": [True],
    }  # fmt: skip
    if any(value is v for v in allowed.get(name, [])):
        QuantizationConfig(weights="i4", activations="u8", **{name: value})
        return
    with pytest.raises(ConfigError, match=rf"{name}|{KINDS[name]}|container of"):
        QuantizationConfig(weights="i4", activations="u8", **{name: value})


def test_every_field_has_a_kind() -> None:
    assert {f.name for f in fields(QuantizationConfig)} == {*KINDS, "weights", "activations"}


def test_whole_numbers_of_numpy_become_int() -> None:
    config = QuantizationConfig("i4", "u8", first_last_bits=np.int64(8), weight_container=np.uint8(4))
    assert (type(config.first_last_bits), type(config.weight_container)) == (int, int)


@pytest.mark.parametrize("layers", [["a"], "i4", 5])
def test_plans_that_are_no_dict(layers: object) -> None:
    with pytest.raises(ConfigError, match=r'layers is .*; write a dict of patterns to precisions, such as \{"layer1'):
        make_config("i4", layers=layers)


@pytest.mark.parametrize("container", [8.0, "8", True, []], ids=repr)
def test_containers_that_are_no_number(container: object) -> None:
    with pytest.raises(ConfigError, match="container .* is of type"):
        LayerPrecision("i4", container=container)


@pytest.mark.parametrize(
    ("fields", "error", "match"),
    [
        ({"weights": "u2"}, ConfigError, "symmetric"),
        ({"activations": "u16"}, UnsupportedPrecision, "write i16"),
        ({"weights": "i8", "container": 4}, ConfigError, "container of 4 bits for 8-bit values"),
    ],
)
def test_refused_layer_precision(fields: dict, error: type, match: str) -> None:
    with pytest.raises(error, match=match):
        LayerPrecision(**fields)


def test_dictated_scales() -> None:
    assert QuantizationConfig("i8", "u8", scale="fixed:5").scale.dictated(4) == 2**-5
    assert QuantizationConfig("i8", "u8", scale="fixed:-2").scale.dictated(4) == 4
    assert QuantizationConfig("i8", "u8", scale="global:8").scale.dictated(8) == 8 / 128
    assert QuantizationConfig("i8", "u8", scale="power_of_two").scale.dictated(8) is None


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ("granularity", "per_channel", PerChannel()),
        ("granularity", "per_tensor", PerTensor()),
        ("granularity", "per_group:32", PerGroup(32)),
        ("scale", "float", FloatScale()),
        ("scale", "power_of_two", PowerOfTwo()),
        ("scale", "fixed:-8", FixedPoint(-8)),
        ("scale", "global:8.0", GlobalScale(8.0)),
    ],
)
def test_texts_become_values(field: str, text: str, value: object) -> None:
    parsed, given = (QuantizationConfig("i4", "u8", **{field: v}) for v in (text, value))
    assert parsed == given
    assert getattr(parsed, field) == value
    assert str(value) == text
    assert replace(parsed, observer="mse") == replace(given, observer="mse")


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: PerGroup(0), "granularity 'per_group:0'; write per_channel"),
        (lambda: PerGroup(True), "granularity 'per_group:True'; write per_channel"),
        (lambda: FixedPoint(65), "scale 'fixed:65'; write float"),
        (lambda: GlobalScale(float("nan")), "scale 'global:nan'; write float"),
        (lambda: GlobalScale(-1), "scale 'global:-1'; write float"),
    ],
)
def test_values_that_mean_nothing(make: Callable[[], object], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        make()


def test_with_overrides_appends() -> None:
    config = QuantizationConfig("i8", "u8", overrides={"a": LayerPrecision("i4")})
    assert list(config.with_overrides({"b": LayerPrecision("i2")}).overrides) == ["a", "b"]
    assert list(config.overrides) == ["a"]


def test_with_overrides_the_last_given_wins() -> None:
    """Also where its pattern was given before, ahead of one that matches the same layers."""
    wide, narrow, last = LayerPrecision("i8"), LayerPrecision("i2"), LayerPrecision("i4")
    config = QuantizationConfig("i8", "u8", overrides={"fc": wide, "*": narrow}).with_overrides({"fc": last})
    assert list(config.overrides.items()) == [("*", narrow), ("fc", last)]
