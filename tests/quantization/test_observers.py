from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import lowbit
from lowbit.graph.ops import UNARY, apply_unary
from lowbit.numerics import QType, dequantize, quantize
from lowbit.quantization import QuantizationConfig, calibrate, choose, parse_config
from lowbit.quantization.activations import activation_params, activation_type, where_it_varies
from lowbit.quantization.observers import OBSERVERS, Histogram, observed_range
from lowbit.quantization.observers.aciq import clipping
from lowbit.quantization.observers.histogram import BINS


def histogram(*batches: np.ndarray) -> Histogram:
    seen = Histogram()
    for batch in batches:
        seen.add(np.asarray(batch, np.float32))
    return seen


@settings(deadline=None)
@given(st.lists(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=20), min_size=1, max_size=8))
def test_histogram_grows_without_losing_counts(batches: list[list[float]]) -> None:
    seen = histogram(*batches)
    values = np.float32([v for batch in batches for v in batch])
    assert seen.minimum == values.min()
    assert seen.maximum == values.max()
    assert seen.counts.sum() == len(values)
    slack = 1e-6 * seen.width + 1e-9
    assert seen.origin <= values.min() + slack
    assert seen.origin + BINS * seen.width >= values.max() - slack
    for q in (0.25, 0.5, 0.75):  # cumulated counts equal those of the values, to one bin
        edge = np.searchsorted(np.cumsum(seen.counts), q * len(values))
        x = np.sort(values)[int(np.ceil(q * len(values))) - 1]
        assert abs(seen.centers[min(edge, BINS - 1)] - x) <= 1.01 * seen.width + slack


def test_histogram_of_a_large_tensor_counts_a_sample_of_the_right_weight() -> None:
    x = np.random.default_rng(0).normal(size=(3, 1 << 19))
    seen = histogram(x)
    assert seen.maximum == x.max().astype(np.float32)
    assert seen.counts.sum() == pytest.approx(x.size, rel=1e-3)
    assert np.average(seen.centers, weights=seen.counts) == pytest.approx(0, abs=0.01)


def test_empty_and_weighted_adds() -> None:
    seen = histogram([])
    assert seen.counts.sum() == 0
    seen.add(np.float32([1, 2]), 0.5)
    assert seen.counts.sum() == 1


def test_minmax_includes_zero() -> None:
    assert observed_range(histogram([2.0, 5.0]), QType.parse("u8"), "minmax", 99) == (0.0, 5.0)
    assert observed_range(histogram([-2.0, -5.0]), QType.parse("u8"), "minmax", 99) == (-5.0, 0.0)


def test_percentile_cuts_the_tails() -> None:
    x = np.linspace(-1, 1, 100001)
    x[-5:] = 100
    lo, hi = observed_range(histogram(x), QType.parse("u8"), "percentile", 99.0)
    assert lo == pytest.approx(-0.98, abs=0.06)
    assert hi == pytest.approx(0.98, abs=0.06)
    assert observed_range(histogram(x), QType.parse("u8"), "percentile", 100.0) == (-1.0, 100.0)


def error(x: np.ndarray, params) -> float:
    return float(np.square(x - dequantize(quantize(x, params), params)).mean())


@pytest.mark.parametrize("qtype", ["u1", "u2", "u3", "u4", "u8", "i2", "i4", "b1"])
@pytest.mark.parametrize("kind", ["relu", "normal", "skewed"])
def test_mse_is_near_the_best_of_a_brute_force_search(qtype: str, kind: str) -> None:
    x = np.random.default_rng(3).normal(size=20000)
    x = {"relu": np.maximum(x, 0), "normal": x, "skewed": np.where(x < 0, x * 0.1, x**3)}[kind].astype(np.float32)
    requested, seen = QType.parse(qtype), histogram(x)
    config = QuantizationConfig("i4", requested, observer="mse", first_last_bits=None)
    ours = error(x, activation_params(seen, requested, config))
    best = np.inf
    lo, hi = float(x.min()), float(x.max())
    for a in np.geomspace(0.01, 1, 60):
        for b in (1.0,) if kind == "relu" else np.geomspace(0.1, 1, 12):
            narrowed = Histogram()
            narrowed.add(np.float32([min(lo * a, 0) * b, hi * a]))
            config = QuantizationConfig("i4", requested, observer="minmax", first_last_bits=None)
            best = min(best, error(x, activation_params(narrowed, requested, config)))
    assert ours <= 1.1 * best


def test_auto_is_mse_up_to_four_bits() -> None:
    seen = histogram(np.random.default_rng(0).normal(size=5000), [30.0])
    for bits in range(2, 9):
        qtype = QType(bits, True)
        name = "mse" if bits <= 4 else "minmax"
        assert observed_range(seen, qtype, "auto", 99) == OBSERVERS[name](seen, qtype, 99)


@pytest.mark.parametrize("observer", OBSERVERS)
@pytest.mark.parametrize("value", [0.0, 3.0, -3.0])
@pytest.mark.parametrize("qtype", ["u8", "u2", "u1", "i4", "b1", "i16"])
def test_constant_tensor(observer: str, value: float, qtype: str) -> None:
    config = QuantizationConfig("i8", qtype, observer=observer, first_last_bits=None)
    params = activation_params(histogram(np.full(50, value)), QType.parse(qtype), config)
    x = np.float32([value])
    got = dequantize(quantize(x, params), params)
    if value or qtype != "b1":
        np.testing.assert_allclose(got, x, rtol=0.02, atol=1e-6)


def test_params_follow_the_sign_of_the_tensor() -> None:
    config = QuantizationConfig("i8", "u8")
    u8 = QType.parse("u8")
    positive, mixed = histogram([0.0, 5.1]), histogram([-1.0, 4.1])
    assert activation_params(positive, u8, config).zero_point == 0
    assert activation_params(positive, u8, config).scale == np.float32(5.1 / 255)
    both = activation_params(mixed, u8, config)
    assert both.scale == pytest.approx(5.1 / 255)
    assert both.zero_point == 50
    signed = activation_params(mixed, QType.parse("i8"), config)
    assert (signed.zero_point, signed.scale) == (0, np.float32(np.float32(4.1) / 127))
    assert activation_params(histogram([-4.0, -1.0]), u8, config).zero_point == 255


def test_one_bit_never_becomes_a_constant() -> None:
    for requested in ("u1", "b1"):
        assert str(activation_type(QType.parse(requested), 0.0, False)) == "u1"
        assert str(activation_type(QType.parse(requested), -0.5, False)) == "b1"


def test_sixteen_bits_cover_everything_whatever_the_observer() -> None:
    seen = histogram(np.random.default_rng(0).normal(size=5000), [1000.0])
    params = activation_params(seen, QType.parse("i16"), QuantizationConfig("i8", "i16", observer="percentile", percentile=99))
    assert params.scale == np.float32(1000 / 32767)


def test_dictated_scales_are_symmetric_signed() -> None:
    seen = histogram([0.0, 5.0])
    params = activation_params(seen, QType.parse("u8"), QuantizationConfig("i8", "u8", scale="fixed:3"))
    assert (str(params.qtype), float(params.scale), params.zero_point) == ("i8", 0.125, 0)
    params = activation_params(seen, QType.parse("u4"), QuantizationConfig("i4", "u4", scale="global:8"))
    assert (str(params.qtype), float(params.scale)) == ("i4", 1.0)


def test_power_of_two_never_clips() -> None:
    params = activation_params(histogram([-1.0, 4.1]), QType.parse("u8"), QuantizationConfig("i8", "u8", scale="power_of_two"))
    assert float(params.scale) == 2**-5
    assert dequantize(np.uint8([0, 255]), params).tolist()[0] <= -1.0
    assert dequantize(np.uint8([0, 255]), params).tolist()[1] >= 4.1


def test_container_of_activations() -> None:
    config = QuantizationConfig("i4", "u4", activation_container=8)
    assert activation_params(histogram([1.0]), QType.parse("u4"), config).container == 8
    narrow = QuantizationConfig("i4", "u4", activation_container=4)
    assert activation_params(histogram([1.0]), QType.parse("u8"), narrow).container == 8


@pytest.mark.parametrize(("bits", "factor"), [(2, 2.83), (3, 3.89), (4, 5.03), (8, 9.89)])
def test_clipping_of_laplace_is_that_of_the_paper(bits: int, factor: float) -> None:
    assert clipping(bits, True) == pytest.approx(factor, abs=0.02)  # section 3.1
    assert clipping(bits, True) == pytest.approx(_lambert(3 * 4.0**bits), abs=1e-3)


def _lambert(z: float) -> float:
    k = float(np.log(z))
    for _ in range(100):
        k -= (k * np.exp(k) - z) / (np.exp(k) * (k + 1))
    return k


@pytest.mark.parametrize(("bits", "factor"), [(2, 1.71), (3, 2.15), (4, 2.55), (8, 3.92)])
def test_clipping_of_normal_numbers_is_that_of_the_paper(bits: int, factor: float) -> None:
    assert clipping(bits, False) == pytest.approx(factor, abs=0.02)


@pytest.mark.parametrize("observer", ["aciq", "entropy"])
@pytest.mark.parametrize("draw", ["laplace", "normal"])
@pytest.mark.parametrize("one_sided", [False, True])
def test_clipping_observers_beat_the_whole_range_at_4_bits(observer: str, draw: str, one_sided: bool) -> None:
    x = getattr(np.random.default_rng(0), draw)(size=200_000)
    x = np.maximum(x, 0) if one_sided else x
    seen, qtype = histogram(x), QType.parse("u4")
    whole, cut = (observed_range(seen, qtype, name, 99) for name in ("minmax", observer))
    assert whole[0] <= cut[0] <= 0 < cut[1] < whole[1]

    def error(lo: float, hi: float) -> float:
        step = (hi - lo) / qtype.qmax
        zero = np.rint(-lo / step)
        return float(np.square(x - step * (np.clip(np.rint(x / step) + zero, 0, qtype.qmax) - zero)).mean())

    assert error(*cut) < (0.6 if observer == "aciq" else 0.8) * error(*whole)


def test_moving_averages_forget_one_row() -> None:
    seen = histogram(*[[-1.0, 2.0]] * 200, [-1.0, 1000.0], *[[-1.0, 2.0]] * 300)
    lo, hi = observed_range(seen, QType.parse("u8"), "moving_average", 99)
    assert lo == -1.0
    assert 2.0 < hi < 4.0
    assert observed_range(seen, QType.parse("u8"), "minmax", 99) == (-1.0, 1000.0)


def test_padding_is_no_row_of_the_average() -> None:
    seen = histogram([0.0, 2.0])
    seen.add(np.float32([-9.0]), 0.0)
    assert observed_range(seen, QType.parse("u8"), "moving_average", 99) == (0.0, 2.0)


@pytest.mark.parametrize("fn", sorted(UNARY))
@pytest.mark.parametrize("reach", [(-30.0, 25.0), (-4.0, 9.0), (0.5, 6.0), (-0.1, 0.1), (-1.0, 0.9)])
@pytest.mark.parametrize("gap", [0.0, 0.2])
def test_beyond_where_a_function_varies_it_stays_within_an_eighth_of_a_step(
    fn: str, reach: tuple[float, float], gap: float
) -> None:
    """``gap``: what was never seen, around 0, where some functions have a pole."""
    function, levels = partial(apply_unary, fn), 255
    x = np.linspace(*reach, 10007)
    x = x[np.abs(x) >= gap] if gap < reach[1] else x
    lo, hi = where_it_varies(function, histogram(x), levels)
    assert np.float32(reach[0]) <= lo < hi <= np.float32(reach[1])
    y = function(x)
    if np.isfinite(y).all():
        assert np.abs(function(x.clip(lo, hi)) - y).max() <= (y.max() - y.min()) / levels / 8 + 1e-3 * np.abs(np.diff(y)).max()
    else:
        assert (lo, hi) == tuple(map(np.float32, reach))


def test_ranges_end_where_the_one_function_that_reads_a_value_is_flat() -> None:
    seen, u8 = histogram(np.linspace(-20, 10, 3001)), QType.parse("u8")
    plain = activation_params(seen, u8, QuantizationConfig("i8", "u8"))
    assert plain.scale == np.float32(30 / 255)
    read = activation_params(seen, u8, QuantizationConfig("i8", "u8"), partial(apply_unary, "hardswish"))
    assert read.scale == pytest.approx(13 / 255, rel=0.01)
    assert read.zero_point == round(3 / 13 * 255)
    gate = where_it_varies(partial(apply_unary, "hardsigmoid"), seen, 255)
    assert gate == pytest.approx((-3, 3), abs=0.03)
    assert where_it_varies(np.zeros_like, seen, 255) == (-20, 10)
    assert where_it_varies(lambda x: 1 / (x - 20), seen, 255)[0] < -15  # what was seen says how large a step is, not the pole


def test_a_histogram_within_a_range_counts_the_rest_at_its_ends() -> None:
    x = np.random.default_rng(0).normal(size=5000)
    seen, cut = histogram(x), histogram(x).within(-0.5, 1.0)
    assert (cut.minimum, cut.maximum) == (-0.5, 1.0)
    assert cut.counts.sum() == seen.counts.sum()
    below = cut.counts[cut.centers < -0.5 - cut.width].sum() + cut.counts[cut.centers > 1.0 + cut.width].sum()
    assert below == 0
    inside = (seen.centers > -0.5 + seen.width) & (seen.centers < 1.0 - seen.width)
    assert np.array_equal(cut.counts[inside], seen.counts[inside])
    assert seen.minimum == np.float32(x.min())  # itself as it was


def test_only_a_value_that_one_function_alone_reads_is_ranged_for_it() -> None:
    class Reads(torch.nn.Module):
        def __init__(self, twice: bool) -> None:
            super().__init__()
            self.conv, self.twice = torch.nn.Conv2d(3, 4, 3), twice
            self.last = torch.nn.Conv2d(8 if twice else 4, 2, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.conv(x)
            z = torch.nn.functional.hardswish(y)
            return self.last(torch.cat([z, y], 1) if self.twice else z)

    torch.manual_seed(0)
    for twice in (False, True):
        model, x = Reads(twice), torch.randn(2, 3, 8, 8) * 20
        graph = lowbit.trace(model, x)
        choice = choose(graph, calibrate(graph, [(x.numpy(),)]), parse_config("8/int8"))
        held = choice.values["conv"]
        lowest = -float(held.scale) * held.zero_point
        assert lowest < -8 if twice else -3.2 < lowest < -2.8
