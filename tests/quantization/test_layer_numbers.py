import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lowbit.errors import NumericsError, UnsupportedOperation
from lowbit.graph import interpret
from lowbit.numerics import QParams, QType
from lowbit.quantization import QuantizationConfig, calibrate, quantize_graph
from lowbit.quantization.layer_numbers import quantize_parameters
from tests.graph.build import Build


def parameters(w, bias, act="u8", weight="i8", scale=0.05, granularity="per_channel", means=None):
    qtype = QType.parse(weight)
    narrow = "i4" if qtype.bits > 7 and granularity != "per_channel" else weight
    config = QuantizationConfig(narrow, "u8", granularity=granularity)
    return quantize_parameters(config, np.float32(w), np.float32(bias), QParams(QType.parse(act), scale), qtype, None, means)


@settings(deadline=None)
@given(
    act=st.sampled_from(["u8", "i8", "u1", "b1", "u4"]),
    weight=st.sampled_from(["i8", "i7", "i4", "i2"]),
    size=st.sampled_from([1, 100, 40000, 200000]),
    magnitude=st.floats(1e-12, 1e6),
    bias=st.floats(-1e9, 1e9),
    scale=st.floats(1e-6, 1e3),
)
def test_no_sum_overflows_int32(act: str, weight: str, size: int, magnitude: float, bias: float, scale: float) -> None:
    w = np.full((1, size), magnitude)
    w[0, ::3] *= -0.9
    q, params, q_bias = parameters(w, [bias], act, weight, scale)
    qtype = QType.parse(act)
    largest = 2 if qtype.bipolar else qtype.qmax - qtype.qmin
    assert q_bias.dtype == np.int32
    assert largest * int(np.abs(q.astype(np.int64)).sum()) + abs(int(q_bias[0])) < 2**31
    assert abs(int(q_bias[0])) <= 2**30
    unit = float(np.float32(scale)) * float(params.scale[0])
    assert q_bias[0] * unit == pytest.approx(np.float32(bias), abs=0.5001 * unit, rel=1e-6)


@pytest.mark.parametrize("weight", ["b1", "i2", "i4", "i8"])
@pytest.mark.parametrize("groups", [1, 2])
def test_bias_takes_up_the_mean_error_of_the_weights(weight: str, groups: int) -> None:
    random = np.random.default_rng(0)
    w, bias = random.normal(size=(6, 8, 3, 3)), random.normal(size=6)
    means = random.normal(size=8 * groups)
    q, params, q_bias = parameters(w, bias, weight=weight, means=means)
    unit = float(np.float32(0.05)) * params.scale.astype(np.float64)
    x = np.repeat(means.reshape(groups, 8), 6 // groups, axis=0)[:, :, None, None]  # what each output channel sees
    rounded = (q * params.scale.astype(np.float64)[:, None, None, None] * x).sum((1, 2, 3)) + q_bias * unit
    np.testing.assert_allclose(rounded, (np.float32(w) * x).sum((1, 2, 3)) + np.float32(bias), atol=0.6 * unit.max())


def test_only_the_channel_that_would_overflow_is_coarser() -> None:
    w = np.full((2, 10), 1e-9)
    q, params, bias = parameters(w, [1000.0, 0.0])
    assert params.scale[1] == np.float32(np.float32(1e-9) / np.float32(127))
    ratio = params.scale[0] / params.scale[1]
    assert ratio > 1
    assert np.log2(ratio) % 1 == 0
    assert abs(bias[0]) > 2**29  # no more than needed
    assert q[1].tolist() == [127] * 10


def test_span_of_bipolar_activations_counts_in_their_stored_form() -> None:
    """b1 is stored as (q + 1) / 2 with step 2: |2 * stored * w| reaches twice |q * w|."""
    size = 2**30 // (127 * 2) + 1
    q, params, _ = parameters(np.ones((1, size), np.float32), [0.0], act="b1")
    assert params.scale[0] == np.float32(2 * np.float32(1) / np.float32(127))
    assert q.max() == 64


def test_groups_count_with_their_scale() -> None:
    w = np.random.default_rng(0).normal(size=(2, 60000)).astype(np.float32)
    q, params, _ = parameters(w, [0.0, 0.0], weight="i4", granularity="per_group:100")
    effective = q.astype(np.int64) * np.repeat(params.group_scale, 100, axis=1)
    assert 255 * np.abs(effective).sum(1).max() < 2**30


def test_wide_operands_get_an_int64_bias() -> None:
    for act, weight in (("i16", "i8"), ("u8", "i16"), ("i16", "i16")):
        _, _, bias = parameters(np.full((1, 4), 1e-9), [1e4], act, weight)
        assert bias.dtype == np.int64
        assert abs(int(bias[0])) > 2**31


def test_bias_of_a_dead_channel_keeps_its_precision() -> None:
    for weight in ("b1", "i4", "i8"):
        q, params, bias = parameters(np.zeros((1, 9)), [0.123456], weight=weight)
        unit = float(np.float32(0.05)) * float(params.scale[0])
        assert bias[0] * unit == pytest.approx(0.123456, rel=1e-6)
        assert 255 * np.abs(q.astype(int)).sum() * unit < 1e-6


def test_one_bit_weights_that_cannot_fit() -> None:
    with pytest.raises(NumericsError, match="4300000 products per output can overflow"):
        parameters(np.ones((1, 4_300_000)), [0.0], weight="b1")


def network(w, bias):
    b = Build()
    x = b.input("x", 1, 4)
    return b.graph(b.node("fc", "linear", x, b.constant("w", w), b.constant("b", bias), lo=None, hi=None))


@pytest.mark.parametrize("broken", ["w", "b"])
def test_not_finite_parameters_name_the_layer(broken: str) -> None:
    w, bias = np.ones((2, 4)), np.ones(2)
    (w if broken == "w" else bias).ravel()[0] = np.nan
    config = QuantizationConfig("i8", "u8")
    with pytest.raises(NumericsError, match=r"fc \(linear\): .*NaN or infinite"):
        quantize_graph(network(w, bias), calibrate(network(w * 0, bias * 0), [np.ones((1, 4))]), config)


def test_a_layer_without_bias_gets_zeros() -> None:
    b = Build()
    x = b.input("x", 1, 4)
    graph = b.graph(b.node("fc", "linear", x, b.constant("w", np.eye(4)), lo=None, hi=None))
    integer = quantize_graph(graph, calibrate(graph, [np.ones((1, 4))]), QuantizationConfig("i8", "u8"))
    assert integer.constants[integer.node("fc").inputs[2]].tolist() == [0, 0, 0, 0]
    assert interpret(integer, [np.ones((1, 4), np.float32)])[0].tolist() == [[1, 1, 1, 1]]


def test_a_layer_that_reads_a_constant_is_refused() -> None:
    b = Build()
    x = b.input("x", 1, 4)
    c = b.linear("c", b.constant("k", np.ones((1, 4))), 4)
    graph = b.graph(b.linear("fc", b.node("sum", "add", x, c, lo=None, hi=None), 2))
    with pytest.raises(UnsupportedOperation, match=r"c \(linear\): cannot compute on integers, 'k' is not quantized"):
        quantize_graph(graph, calibrate(graph, [np.ones((1, 4))]), QuantizationConfig("i8", "u8"))


def test_the_search_for_a_scale_ends_and_names_the_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = network(np.full((2, 4), 1e-9), np.full(2, 1e9))
    seen = calibrate(graph, [np.ones((1, 4))])
    quantize_graph(graph, seen, QuantizationConfig("i8", "u8"))
    monkeypatch.setattr("lowbit.quantization.layer_numbers._DOUBLINGS", 3)
    with pytest.raises(NumericsError, match=r"fc \(linear\): sums of up to .* fit at no scale"):
        quantize_graph(graph, seen, QuantizationConfig("i8", "u8"))
