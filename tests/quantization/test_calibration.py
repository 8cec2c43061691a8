import warnings

import numpy as np
import pytest
import torch

import lowbit
from lowbit.errors import CalibrationError, CalibrationWarning, ConfigError
from lowbit.graph import interpret
from lowbit.quantization import Calibration, LayerPrecision, QuantizationConfig, calibrate, parse_config, random_samples
from lowbit.quantizer import quantized
from tests import tiny
from tests.graph.build import Build, residual_network

SHAPE = (3, 10, 9)


def rows(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, *SHAPE)).astype(np.float32)


def same(a, b) -> bool:
    def mean(h) -> float:
        return float(np.average(h.centers, weights=h.counts))

    pairs = [(h, b.histograms[name]) for name, h in a.histograms.items()]
    return a.rows == b.rows and all(
        [h.minimum, h.maximum, h.counts.sum()] == pytest.approx([o.minimum, o.maximum, o.counts.sum()], rel=1e-5, abs=1e-5)
        and abs(mean(h) - mean(o)) <= o.width
        for h, o in pairs
    )


def two_inputs():
    b = Build()
    x, y = b.input("x", 2, 4), b.input("y", 2, 4)
    return b.graph(b.linear("fc", b.node("sum", "add", x, y, lo=None, hi=None), 3))


@pytest.mark.parametrize(
    "samples",
    [
        lambda x: [x],
        lambda x: list(x),  # examples without a batch axis
        lambda x: iter([x[:3], x[3:4], x[4:]]),
        lambda x: [torch.from_numpy(x)],
        lambda x: [(torch.from_numpy(x), torch.zeros(7))],  # (images, labels)
        lambda x: [[x[:5], 3], [x[5:], 4]],
        lambda x: [{"x": x, "label": 1}],
        lambda x: [{"image": x}],
        lambda x: [torch.from_numpy(x).to_sparse()],
        lambda x: [torch.from_numpy(x).double().requires_grad_()],
    ],
)
def test_kinds_of_samples(samples) -> None:
    graph, x = residual_network(batch=1), rows(7)
    assert same(calibrate(graph, samples(x)), calibrate(graph, [x]))


@pytest.mark.parametrize(
    "convert",
    [
        lambda x: x.bfloat16(),
        lambda x: x.half(),
        lambda x: torch.quantize_per_tensor(x, 0.02, 128, torch.quint8),
        lambda x: x.bfloat16().to_sparse(),
    ],
)
def test_kinds_of_rounded_samples(convert) -> None:
    x = convert(torch.from_numpy(rows(4)))
    seen = calibrate(residual_network(), [x])
    assert seen.histograms["x"].maximum == (x.dequantize() if x.is_quantized else x.to_dense()).max()
    assert seen.rows == 4


def test_inputs_without_axes() -> None:
    b = Build()
    x = b.input("x")
    seen = calibrate(b.graph(b.node("y", "add", x, x, lo=None, hi=None)), [2.0, np.float32(3), torch.tensor(-1.0)])
    assert (seen.histograms["x"].minimum, seen.histograms["x"].maximum, seen.rows) == (-1, 3, 3)


@pytest.mark.parametrize(
    ("sample", "match"),
    [
        (
            {"y": np.ones((2, 4)), "z": np.ones((2, 4))},
            r"sample 0 has no 'x' among its keys 'y', 'z'; the inputs of .* are x, y",
        ),
        ({"a": np.ones((2, 4)), "b": np.ones((2, 4))}, r"sample 0 has no 'x', 'y' among its keys 'a', 'b'"),
        ({}, "has no 'x', 'y' among its keys"),
        ((np.ones((0, 4)), np.ones((0, 4))), r"input 'x' has shape \(0, 4\).*any batch size from 1 on"),
        ((torch.ones(2, 4, device="meta"), np.ones((2, 4))), "input 'x' cannot be read as an array"),
        ((torch.ones(2, 4, dtype=torch.complex64), np.ones((2, 4))), "input 'x' is complex64, must be numbers"),
        (([[1, 2], [3]], np.ones((2, 4))), "input 'x' cannot be read as an array"),
    ],
)
def test_samples_that_do_not_fit_two_inputs(sample, match) -> None:
    with pytest.raises(CalibrationError, match=match):
        calibrate(two_inputs(), [sample])


def test_inputs_that_never_vary_are_a_warning() -> None:
    with pytest.warns(CalibrationWarning, match=r"never varied in 4 calibration rows: 'x' was 0.*check what the loader yields"):
        calibrate(residual_network(), [np.zeros((4, *SHAPE))])


def test_values_that_never_vary_are_a_warning() -> None:
    b = Build()
    x = b.input("x", 2, 4)
    dead = b.node("dead", "clamp", x, lo=-1.0, hi=-1.0)
    graph = b.graph(b.linear("fc", dead, 3))
    with pytest.warns(CalibrationWarning, match=r"never varied in 2 .*: 'dead' was -1; what follows them carries no signal"):
        calibrate(graph, [np.random.default_rng(0).normal(size=(2, 4))])


def test_the_last_batch_is_filled_up_without_counting_the_filling() -> None:
    one, four = residual_network(batch=1), residual_network(batch=4)
    x = rows(6)
    a, b = calibrate(one, [x]), calibrate(four, [x])
    assert same(a, b)
    assert a.rows == 6
    assert b.histograms["stem"].counts.sum() == 6 * 8 * 90


def test_filling_where_the_batch_is_not_the_first_axis() -> None:
    b = Build()
    x = b.input("x", 4, 3)
    turned = b.node("turned", "permute", b.linear("a", x, 2), dims=(1, 0))
    graph = b.graph(b.linear("b", turned, 5))
    seen = calibrate(graph, [np.ones((3, 3))])
    assert seen.rows == 3
    assert seen.histograms["a"].counts.sum() == pytest.approx(3 * 2)


def test_only_values_that_need_a_scale_are_observed() -> None:
    assert set(calibrate(residual_network(), [rows(2)]).histograms) == {"x", "stem", "block.conv1", "block.conv2", "down", "mean"}


def test_several_inputs() -> None:
    graph = two_inputs()
    x, y = np.ones((2, 4)), np.full((2, 4), 5.0)
    for sample in ((x, y), [x, y, "label"], {"y": y, "x": x}):
        assert calibrate(graph, [sample]).histograms["y"].maximum == 5
        assert calibrate(graph, [sample]).histograms["x"].maximum == 1


def test_dicts_are_matched_by_name_or_refused() -> None:
    x, y = np.ones((2, 4)), np.full((2, 4), 5.0)
    assert calibrate(two_inputs(), [{"label": 0, "y": y, "x": x}]).histograms["x"].maximum == 1
    for sample in ({"a": x, "b": y}, {"X": x, "y": y}, {"x": x}):
        with pytest.raises(CalibrationError, match=r"sample 0 has no '[xy]'.* the inputs of net are x, y"):
            calibrate(two_inputs(), [sample])


def test_bfloat16_samples_are_read_exactly() -> None:
    x = torch.from_numpy(rows(3)).bfloat16()
    assert same(calibrate(residual_network(), [x]), calibrate(residual_network(), [x.float()]))


def test_what_is_observed_does_not_depend_on_the_batch() -> None:
    """To the last bit, for every observer: seven images one by one, or in fours of which the last is filled up."""
    x = rows(7, seed=3)
    one, four = (calibrate(residual_network(batch=batch), [x]) for batch in (1, 4))
    for name, seen in one.histograms.items():
        other = four.histograms[name]
        assert (seen.minimum, seen.maximum, seen.width, seen.origin) == (other.minimum, other.maximum, other.width, other.origin)
        np.testing.assert_array_equal(seen.counts, other.counts)
    for layer, means in one.input_means.items():
        np.testing.assert_array_equal(means, four.input_means[layer])


def test_an_input_that_never_changes_is_told() -> None:
    black = np.zeros((2, *SHAPE))
    with pytest.warns(UserWarning, match="never varied in 4 calibration rows: 'x' was 0"):
        calibrate(residual_network(), [black, black])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first, last = calibrate(residual_network(), [black, rows(2)]), calibrate(residual_network(), [rows(2), black])
    assert [h.minimum for h in first.histograms.values()] == [h.minimum for h in last.histograms.values()]
    assert [h.maximum for h in first.histograms.values()] == [h.maximum for h in last.histograms.values()]


def test_padding_values_widen_the_range() -> None:
    b = Build()
    x = b.input("x", 1, 2, 4, 4)
    padded = b.node("p", "pad", x, before=(0, 0, 1, 1), after=(0, 0, 1, 1), value=-9.0)
    seen = calibrate(b.graph(b.conv("c", padded, 2)), [np.ones((1, 2, 4, 4))])
    assert seen.histograms["x"].minimum == -9


@pytest.mark.parametrize(
    ("samples", "match"),
    [
        ([], "no calibration samples"),
        ([np.zeros((2, 3, 10, 8))], r"sample 0: input 'x' has shape \(2, 3, 10, 8\), the network takes \(2, 3, 10, 9\)"),
        ([np.zeros((10, 9))], r"has shape \(10, 9\)"),
        ([rows(2), np.full((2, *SHAPE), np.nan)], "sample 1: input 'x' holds NaN or infinity"),
        ([np.full(SHAPE, np.inf)], "sample 0: input 'x' holds NaN or infinity"),
        (["abc"], "must be numbers"),
        ([()], "has 0 inputs, net takes 1: x"),
        (
            [rows(1), {"image": rows(1), "label": 1}],
            "sample 1 has no 'x' among its keys 'image', 'label'; the inputs of net are x",
        ),
        ([[[1.0], [1.0, 2.0]]], "sample 0: input 'x' has shape"),
        ([{"x": [[1.0], [1.0, 2.0]]}], "sample 0: input 'x' cannot be read as an array: "),
        ([torch.zeros((2, *SHAPE), dtype=torch.complex64)], "sample 0: input 'x' is complex64, must be numbers"),
        ([rows(1).astype(np.float64) * 1e300], "sample 0: input 'x' holds NaN or infinity"),
    ],
)
def test_refused_samples(samples: list, match: str) -> None:
    with pytest.raises(CalibrationError, match=match):
        calibrate(residual_network(), samples)


def test_values_inside_the_network_that_are_not_finite() -> None:
    b = Build()
    root = b.node("root", "unary", b.input("x", 1, 4), fn="log")
    with pytest.raises(CalibrationError, match="value 'root' is NaN or infinite for calibration rows 1 to 1"):
        calibrate(b.graph(b.linear("fc", root, 2)), [np.ones(4), np.zeros(4)])


def test_inputs_with_different_rows() -> None:
    with pytest.raises(CalibrationError, match=r"inputs have \[2, 3\] rows"):
        calibrate(two_inputs(), [(np.ones((2, 4)), np.ones((3, 4)))])


def test_configuration_is_checked_before_the_samples() -> None:
    def samples():
        raise AssertionError("read a sample")
        yield

    config = QuantizationConfig("i8", "u8", overrides={"nothing": LayerPrecision("i4")})
    with pytest.raises(ConfigError, match="'nothing' matches no layer"):
        calibrate(residual_network(), samples(), config)


def test_progress() -> None:
    seen: list[int] = []
    calibrate(residual_network(batch=2), [rows(5)], progress=seen.append)
    assert seen == [2, 4, 5]


def test_random_samples_are_seeded() -> None:
    graph = two_inputs()
    a, b, c = random_samples(graph, 1, 3), random_samples(graph, 1, 3), random_samples(graph, 2, 3)
    assert [len(sample) for sample in a] == [2, 2, 2]
    assert a[0][0].shape == (2, 4)
    assert a[0][0].dtype == np.float32
    np.testing.assert_array_equal(a[2][1], b[2][1])
    assert not np.array_equal(a[0][0], c[0][0])
    assert not np.array_equal(a[0][0], a[1][0])


def inputs_of_different_lengths():
    b = Build()
    x, y = b.input("x", 2, 4), b.input("y", 1, 4)
    return b.graph(b.linear("fc", b.node("sum", "add", x, y, lo=None, hi=None), 3))


def test_inputs_without_a_common_batch_are_whole_runs() -> None:
    graph = inputs_of_different_lengths()
    assert calibrate(graph, random_samples(graph, 0, 3)).rows == 6
    with pytest.raises(CalibrationError, match=r"sample 0: inputs have shapes .* must be \[\(2, 4\), \(1, 4\)\]"):
        calibrate(graph, [(np.zeros((3, 4), np.float32), np.zeros((1, 4), np.float32))])


def other(channels: int):
    b = Build()
    return b.graph(b.linear("fc", b.input("x", 1, channels), 2))


@pytest.mark.parametrize(
    ("graph", "text"),
    [
        (residual_network(), "net: calibrated on another graph: values missing 'stem', .*; layers missing 'stem', .*; channels"),
        (other(5), "net: calibrated on another graph: channels 'fc' read 4, reads 5; calibrate the graph that is quantized"),
    ],
)
def test_a_calibration_of_another_graph_is_refused(graph, text: str) -> None:
    seen = calibrate(other(4), [np.float32([[1, 2, 3, 4]])])
    with pytest.raises(CalibrationError, match=text):
        seen.check(graph)
    seen.check(other(4))


def test_one_calibration_serves_every_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """compile and quantize take what lowbit.calibrate gives, do not observe again, and make the same integers."""
    model, example = tiny.network()
    graph = lowbit.trace(model, example)
    seen = lowbit.calibrate(model, example, [example])
    wanted = {config: quantized(graph, parse_config(config), [example]) for config in ("8/int8", "w4a8")}
    monkeypatch.setattr("lowbit.quantization.calibrate", None)
    for config, integer in wanted.items():
        got = quantized(graph, parse_config(config), seen)
        assert all(np.array_equal(got.constants[name], integer.constants[name]) for name in integer.constants)
    network = lowbit.compile(model, example, config="8/int8", calibration=seen, tuning=False)
    assert np.array_equal(network(example), interpret(wanted["8/int8"], [example.numpy()])[0])


def test_calibrating_without_samples() -> None:
    with pytest.raises(CalibrationError, match="calibration is NoneType, must be an iterable of samples"):
        lowbit.calibrate(*tiny.network())


def test_an_integer_graph_is_not_quantized_again() -> None:
    model, example = tiny.network()
    integer = quantized(lowbit.trace(model, example, "tiny"), parse_config("8/int8"), [example])
    with pytest.raises(ConfigError, match="tiny is an integer graph already"):
        lowbit.compile(integer, config="8/int8", calibration=[example])


@pytest.mark.parametrize(
    "call",
    [
        lambda graph: lowbit.calibrate(graph, samples=[np.ones((1, 4), np.float32)]),
        lambda graph: quantized(graph, parse_config("8/int8"), [np.ones((1, 4), np.float32)]),
        lambda graph: calibrate(graph, [np.ones((1, 4), np.float32)]),
        lambda graph: quantized(graph, parse_config("8/int8")),
    ],
    ids=["lowbit.calibrate", "quantize", "calibrate", "no samples"],
)
def test_warnings_point_at_the_line_outside_lowbit(call) -> None:
    with pytest.warns() as caught:
        call(other(4))
    assert {warning.filename for warning in caught} == {__file__}


def test_rows_are_kept() -> None:
    x = rows(7)
    for batch in (1, 4):
        graph = residual_network(batch=batch)
        np.testing.assert_array_equal(calibrate(graph, [x[:3], x[3:]]).samples[0], x)
        np.testing.assert_array_equal(calibrate(graph, [x], keep=5).samples[0], x[:5])
        assert calibrate(graph, [x], keep=0).samples == ()
    assert [value.shape for value in calibrate(two_inputs(), random_samples(two_inputs(), 0, 3)).samples] == [(6, 4), (6, 4)]


def test_rows_are_kept_up_to_so_many_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lowbit.quantization.keep.KEPT_BYTES", 3 * 4 * 3 * 10 * 9 + 5)
    assert len(calibrate(residual_network(), [rows(7)]).samples[0]) == 3
    assert len(calibrate(residual_network(), [rows(7)], keep=6).samples[0]) == 6
    monkeypatch.setattr("lowbit.quantization.keep.KEPT_ROWS", 2)
    assert len(calibrate(residual_network(), [rows(7)]).samples[0]) == 2


@pytest.mark.parametrize("keep", [-1, 2.0, True, "all"])
def test_keep_is_a_number_of_rows(keep) -> None:
    with pytest.raises(ConfigError, match="keep is a number of rows from 0 on"):
        calibrate(residual_network(), [rows(2)], keep=keep)


def test_inputs_without_rows_are_not_kept() -> None:
    assert calibrate(inputs_of_different_lengths(), random_samples(inputs_of_different_lengths(), 0, 3)).samples == ()


def test_calibrations_are_saved_and_loaded(tmp_path) -> None:
    made = calibrate(residual_network(), [rows(5)])
    made.save(tmp_path / "seen")
    read = Calibration.load(tmp_path / "seen")
    assert (read.rows, list(read.histograms), list(read.input_means)) == (5, list(made.histograms), list(made.input_means))
    for name, seen in made.histograms.items():
        assert {k: v for k, v in vars(seen).items() if k != "counts"} == {
            k: v for k, v in vars(read.histograms[name]).items() if k != "counts"
        }
        np.testing.assert_array_equal(seen.counts, read.histograms[name].counts)
    np.testing.assert_array_equal(made.samples[0], read.samples[0])


@pytest.mark.parametrize("content", [None, b"", b"no calibration at all", b"\x02\0\0\0\0\0\0\0{}"])
def test_what_is_no_calibration(content: bytes | None, tmp_path) -> None:
    if content is not None:
        (tmp_path / "seen").write_bytes(content)
    with pytest.raises(CalibrationError, match="does not exist" if content is None else "is no calibration"):
        Calibration.load(tmp_path / "seen")
