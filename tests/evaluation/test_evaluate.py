"""lowbit.evaluate: figures that are known beforehand, what it refuses and what it warns of."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import lowbit
from lowbit.data import Batch, Dataset, Preprocessing, as_dataset, from_arrays
from lowbit.errors import ConfigError, DataError, DataWarning
from lowbit.evaluation import evaluate_all
from tests.evaluation.networks import Marked, marked

LABELS = np.random.default_rng(0).integers(0, 6, 130)


@pytest.fixture(scope="module")
def compiled() -> lowbit.Compiled:
    """Marked at 8 bits, 4 samples a run."""
    return lowbit.compile(Marked(), torch.zeros(4, 1, 4, 4), config="8/int8", calibration=marked(LABELS[:40]), progress=False)


def test_known_answers(compiled: lowbit.Compiled) -> None:
    shown = LABELS.copy()
    shown[::10] = (shown[::10] + 1) % 6  # 13 of 130 show another class
    report = lowbit.evaluate(compiled, marked(LABELS, shown), reference=Marked())
    assert (report.count, report.top1, report.planned, report.complete) == (130, 117 / 130, 130, True)
    assert report.reference is not None
    assert report.reference.top1 == report.top1
    assert report.comparison is not None
    assert (report.comparison.difference, report.comparison.agreement) == (0.0, 1.0)
    assert report.loss == pytest.approx(report.reference.loss, abs=0.01)
    assert sum(c.count for c in report.per_class) == 130
    assert report.notes == ()
    assert report.seconds > 0
    text = str(report)
    assert "top-1 90.00 ± 2.63 %" in text
    assert "difference +0.00 ± 0.00 points, same prediction 100.00 %" in text


def test_whatever_computes_logits(compiled: lowbit.Compiled, tmp_path: Path) -> None:
    loaded = lowbit.load(compiled.save(tmp_path / "a.lowbit"))
    reports = evaluate_all({"compiled": compiled, "loaded": loaded, "module": Marked()}, marked(LABELS))
    assert [report.top1 for report in reports.values()] == [1.0, 1.0, 1.0]
    assert all(report.reference is None and report.comparison is None for report in reports.values())
    assert reports["module"].to_json()["difference"] is None
    assert "float:" not in str(reports["module"])


def test_a_module_is_evaluated_in_evaluation_mode_and_left_as_it_was() -> None:
    class Noisy(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            assert not self[1].training
            return super().forward(x)

    network = Noisy(Marked(), nn.Dropout(0.9))
    network[0].eval()
    assert lowbit.evaluate(network, marked(LABELS)).top1 == 1.0
    assert (network.training, network[0].training, network[1].training) == (True, False, True)


def test_several_inputs() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.marked = Marked()

        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return self.marked(x + y)

    values = next(marked(LABELS).batches(200)).inputs[0]
    items = [((values[i : i + 7] / 2, values[i : i + 7] / 2), LABELS[i : i + 7]) for i in range(0, 130, 7)]
    example = (torch.zeros(2, 1, 4, 4), torch.zeros(2, 1, 4, 4))
    network = lowbit.compile(Two(), example, config="8/int8", calibration=as_dataset(items), progress=False)
    assert lowbit.evaluate(network, items, reference=Two()).top1 == 1.0
    with pytest.raises(DataError, match="reads 2 inputs, marked: .* yields 1"):
        lowbit.evaluate(network, marked(LABELS))


class Interrupted:
    """A network that is interrupted at its n-th call."""

    def __init__(self, after: int) -> None:
        self.left = after

    def __call__(self, batch: Batch) -> None:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt


def test_interrupted(compiled: lowbit.Compiled) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        reports = evaluate_all({"a": compiled, "b": Marked()}, marked(LABELS), reference=Marked(), watch=Interrupted(3))
    for report in reports.values():
        assert (report.count, report.planned, report.complete) == (48, 130, False)
        assert report.top1 == 1.0
        assert "48 of 130 (interrupted)" in str(report)
    with pytest.raises(KeyboardInterrupt):
        evaluate_all({"a": compiled}, marked(LABELS), watch=Interrupted(0))


def test_interrupted_between_two_networks(compiled: lowbit.Compiled) -> None:
    class Stops(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.marked, self.calls = Marked(), 0

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            if self.calls == 3:
                raise KeyboardInterrupt
            return self.marked(x)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        reports = evaluate_all({"a": compiled, "b": Stops()}, marked(LABELS))
    assert {report.count for report in reports.values()} == {32}


def _bad(change: str) -> Dataset:
    values, labels = next(marked(LABELS).batches(200)).inputs[0].copy(), LABELS.copy()
    if change == "label":
        labels[77] = 6
    elif change == "from one":
        labels += 1
    elif change == "channels last":
        return Dataset(from_arrays(np.zeros((130, 4, 4, 1, 1), np.float32)[..., 0], labels))
    elif change == "channels":
        values = values.repeat(3, 1)
    elif change == "size":
        values = values.repeat(2, 2).repeat(2, 3)
    elif change == "no channel":
        values = values[:, 0]
    elif change == "nan":
        values[99, 0, 0, 0] = np.nan
    return Dataset(from_arrays(values, labels))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ("label", r"row 77 of arrays: .* has label 6, the network has 6 classes, labels 0..5$"),
        ("from one", "these count from 1: subtract 1"),
        ("channels", r"input 0 has shape \(3, 4, 4\), Marked reads \(1, 4, 4\): 3 channels where 1 are read"),
        ("size", "give the images another size"),
        ("no channel", "the axis of the one channel is missing"),
        ("nan", "row 99 holds NaN"),
    ],
)
def test_what_cannot_be_right(compiled: lowbit.Compiled, change: str, text: str) -> None:
    with pytest.raises(DataError, match=text):
        lowbit.evaluate(compiled, _bad(change))


def test_channels_last_is_named() -> None:
    network = lowbit.compile(nn.Sequential(nn.Conv2d(4, 3, 5), nn.Flatten()), torch.zeros(1, 4, 5, 5), progress=False)
    with pytest.raises(DataError, match="these are channels last; transpose them to channels first"):
        lowbit.evaluate(network, (np.zeros((3, 5, 5, 4), np.float32), np.zeros(3, int)))
    with pytest.raises(DataError, match=r"cannot compute samples of shape \(3, 5, 5, 4\)"):
        lowbit.evaluate(nn.Conv2d(4, 3, 5), (np.zeros((3, 5, 5, 4), np.float32), np.zeros(3, int)))


def test_what_looks_wrong(compiled: lowbit.Compiled) -> None:
    values, labels = next(marked(LABELS).batches(200)).inputs[0], LABELS
    warnings.simplefilter("ignore", DataWarning)  # pytest.warns still sees them; some bring others along
    with pytest.warns(DataWarning, match=r"of input .* are outside its range: from 50 to 255, calibrated for 0 to 1"):
        lowbit.evaluate(compiled, (values * 205 + 50, labels))
    with pytest.warns(DataWarning, match="little of the range is used; is it preprocessed the same way?"):
        lowbit.evaluate(compiled, (values / 100, labels))
    with pytest.warns(DataWarning, match=r"float top-1 is .* %, chance alone gives 16.7 %: the preprocessing"):
        report = lowbit.evaluate(compiled, (values, np.random.default_rng(1).permutation(labels)), reference=Marked())
    assert any("chance" in text for text in report.notes)
    with pytest.warns(DataWarning, match="every sample is predicted as class 0"):
        lowbit.evaluate(compiled, (values * 0, labels))
    with pytest.warns(DataWarning, match="7 samples say little: the standard error of top-1 is"):
        lowbit.evaluate(compiled, (values[:7], labels[:7]))

    class Broken(Marked):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) / (x.amax((1, 2, 3)) > 0).float()[:, None] * (1 / (x[:, 0, 0, :1] - 1))

    with pytest.warns(DataWarning, match="outputs are not finite for .* samples, which count as wrong"):
        lowbit.evaluate(Broken(), (values, labels))


def test_nothing_to_evaluate(compiled: lowbit.Compiled) -> None:
    with pytest.raises(ConfigError, match="a str cannot be evaluated; give a compiled network or a torch.nn.Module"):
        lowbit.evaluate("network", marked(LABELS))
    with pytest.raises(ConfigError, match="no network to evaluate"):
        evaluate_all({}, marked(LABELS))


def test_networks_without_a_batch_axis() -> None:
    class Odd(nn.Module):
        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return x + y

    network = lowbit.compile(Odd(), (torch.zeros(3, 4), torch.zeros(1, 4)), progress=False)
    with pytest.raises(ConfigError, match="have no common batch axis"):
        lowbit.evaluate(network, marked(LABELS))


def test_pixels(compiled: lowbit.Compiled) -> None:
    values = next(marked(LABELS).batches(200)).inputs[0]
    pixels = (values * 255).astype(np.uint8).transpose(0, 2, 3, 1)
    assert lowbit.evaluate(compiled, (pixels, LABELS), preprocessing=Preprocessing()).top1 == 1.0


def test_data_of_no_sample_in_a_part(compiled: lowbit.Compiled) -> None:
    def nothing() -> Iterator[Any]:
        yield np.zeros((1, 1, 4, 4), np.float32), np.zeros(1, int)

    _, rest = as_dataset(nothing).split(0.5)
    with pytest.raises(ConfigError, match="no sample to evaluate"):
        lowbit.evaluate(compiled, rest)
