"""What the analysis says is what can be measured by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import lowbit
from lowbit.analysis import analyze
from lowbit.analysis.report import AnalysisReport
from lowbit.analysis.spreads import activation_spread, weight_spread
from lowbit.errors import ConfigError
from lowbit.graph import interpret
from lowbit.numerics import QParams, QType, dequantize
from lowbit.quantization import quantize_graph
from lowbit.quantization.observers import Histogram
from tests.analysis.networks import samples, uneven

X, LABELS = samples()


def run(**options: Any) -> AnalysisReport:
    given = {"calibration": [X], "dataset": (X.numpy(), LABELS.numpy()), "config": "w4a4", "bits": (8, 4, 2), **options}
    return analyze(uneven(), X[:1], **given)


@pytest.fixture(scope="module")
def report() -> AnalysisReport:
    return run()


def test_it_covers_every_layer_and_width_and_the_kernels_agree(report: AnalysisReport) -> None:
    assert report.equal
    assert report.complete
    assert report.rows == 32  # whole batches of one size
    assert report.float_top1 == 1.0
    assert [layer.name for layer in report.layers] == ["stem", "fragile", "quiet", "head"]
    for layer in report.layers:
        assert set(layer.alone) == set(layer.without) == {8, 4, 2}
        heard = [layer.alone[bits].snr for bits in (8, 4, 2)]
        assert all(a is not None and b is not None and a > b for a, b in pairwise(heard))


def test_layers_are_ranked_by_the_noise_they_make_alone(report: AnalysisReport) -> None:
    assert sorted(layer.rank for layer in report.layers) == [1, 2, 3, 4]
    noise = [np.mean([change.snr for change in layer.alone.values()]) for layer in report.ranking]
    assert noise == sorted(noise)
    assert report.begins is not None


def test_weights_with_outliers_lose_most(report: AnalysisReport) -> None:
    heard = {layer.name: layer.weights.ranges[4].snr for layer in report.layers}
    assert min(heard, key=lambda name: heard[name] or 99) == "fragile"


def test_one_layer_alone_is_what_hand_made_rounding_gives(report: AnalysisReport) -> None:
    """The layer's weights and input rounded in a float network."""
    graph = lowbit.trace(uneven(), X[:1])
    calibration = lowbit.calibrate(graph, samples=[X])
    config = lowbit.QuantizationConfig("i4", "u4", first_last_bits=None)
    integer = quantize_graph(graph, calibration, config)
    node = integer.node("quiet")
    weights, read = (integer.types[name].quant for name in (node.inputs[1], node.inputs[0]))
    assert weights is not None
    assert read is not None
    model = uneven()
    with torch.no_grad():
        model.quiet.weight.copy_(torch.from_numpy(dequantize(integer.constants[node.inputs[1]], weights)))
        steps = integer.constants[node.inputs[2]] * read.scale.astype(np.float64) * weights.scale
        model.quiet.bias.copy_(torch.from_numpy(steps))
    scale = float(read.scale)
    model.quiet.register_forward_pre_hook(lambda _, args: ((args[0] / scale).round().clamp(0, 15) * scale,))
    with torch.no_grad():
        y, q = uneven()(X[:32]).double(), model(X[:32]).double()
    wanted = 10 * torch.log10((y - y.mean(0)).square().sum() / (q - y).square().sum())
    layer = next(layer for layer in report.layers if layer.name == "quiet")
    assert layer.alone[4].snr == pytest.approx(float(wanted), abs=0.05)


def test_tensors_are_those_of_the_compiled_network(report: AnalysisReport) -> None:
    graph = lowbit.trace(uneven(), X[:1])
    integer = quantize_graph(graph, lowbit.calibrate(graph, samples=[X]), lowbit.QuantizationConfig("i4", "u4"))
    power, error = 0.0, 0.0
    for row in X[:32]:
        seen: dict[str, np.ndarray] = {}
        interpret(integer, [row[None].numpy()], seen.__setitem__)
        with torch.no_grad():
            y = torch.relu(uneven().stem(row[None])).double().numpy()
        quant = integer.types["stem"].quant
        assert quant is not None
        power += float((y * y).sum())
        error += float(np.square(dequantize(seen["stem"], quant).astype(np.float64) - y).sum())
    stem = next(tensor for tensor in report.tensors if tensor.name == "stem")
    assert stem.snr == pytest.approx(10 * np.log10(power / error), abs=1e-3)
    assert {tensor.name for tensor in report.tensors} >= {"x.quantize", "stem", "fragile", "quiet", "head"}


def test_dead_channels_are_counted(report: AnalysisReport) -> None:
    quiet = next(layer for layer in report.layers if layer.name == "quiet")
    assert quiet.dead[0] >= 1
    assert quiet.dead[1] >= quiet.dead[0]
    assert quiet.channels == 8


def test_clipping_and_rounding_share_the_error() -> None:
    w = np.float32([[-3.0, -0.26, 0.5, 0.74]])
    params = QParams(QType(2, True), np.float32([0.5]), 0, 0)  # -1.0 to 0.5
    shown = weight_spread(w, {2: params}).ranges[2]
    clipped = (-3.0 + 1.0) ** 2 + (0.74 - 0.5) ** 2
    rounded = (-0.26 + 0.5) ** 2
    assert (shown.lo, shown.hi) == (-1.0, 0.5)
    assert shown.clipping == pytest.approx(clipped / (clipped + rounded), rel=1e-5)
    seen = Histogram()
    seen.add(np.float32([0.0, 0.4, 1.0, 9.0]))
    share = activation_spread(seen, {2: QParams(QType(2, False), np.asarray(1.0))}).ranges[2]
    assert share.clipping == pytest.approx(36 / (36 + 0.16), rel=1e-2)
    assert (share.lo, share.hi) == (0.0, 3.0)


def test_without_labels_and_data_it_looks_at_the_calibration(tmp_path: Path) -> None:
    found = run(dataset=None, rows=16, bits=(4,))
    assert found.float_top1 is None
    assert found.rows == 16
    assert found.layers[0].alone[4].top1 is None
    found.save_html(tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert "http://" not in text.replace("http://www.w3.org", "")
    assert "https://" not in text


class StopsAfter:
    """A bar that interrupts the third unit of work."""

    def __init__(self, probes: int) -> None:
        self.left = probes

    def __call__(self, advance: int = 1, description: str | None = None) -> None:
        self.left -= advance
        if self.left == 0:
            raise KeyboardInterrupt


def test_interrupted_it_reports_what_it_has_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from contextlib import contextmanager

    module = __import__("lowbit.analysis.analyze", fromlist=["analyze"])
    state = tmp_path / "state.json"

    @contextmanager
    def interrupting(*_: object) -> Iterator[Callable[..., None]]:
        yield StopsAfter(3)

    with monkeypatch.context() as patch:
        patch.setattr(module, "stage", interrupting)
        part = run(state=state, bits=(4,))
    assert not part.complete
    assert sum(len(layer.alone) for layer in part.layers) == 3
    kept = json.loads(state.read_text())["probes"]
    assert len(kept) == 3
    whole = run(state=state, bits=(4,))
    assert whole.complete
    straight = run(bits=(4,))
    assert [layer.alone for layer in whole.layers] == [layer.alone for layer in straight.layers]
    with pytest.raises(ConfigError, match="holds another analysis"):
        run(state=state, bits=(8,))


def test_bad_input_is_refused() -> None:
    with pytest.raises(ConfigError, match="widths are 1..8 and 16"):
        run(bits=(9,))
    with pytest.raises(ConfigError, match="rows 0"):
        run(rows=0)
    with pytest.raises(ConfigError, match="fp32"):
        run(config="fp32")
