"""Many configurations from one trace and one calibration."""

from __future__ import annotations

import importlib
import json
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import lowbit
from lowbit.data import Preprocessing
from lowbit.errors import ConfigError, DataWarning
from lowbit.evaluation.checks import calibration_notes
from lowbit.evaluation.plan import EvalPlan
from lowbit.evaluation.run import AS_GIVEN, run_eval
from lowbit.zoo.pretrained import PRETRAINED
from tests.evaluation.networks import factory, marked

LABELS = np.random.default_rng(0).integers(0, 6, 200)
FACTORY = "tests.evaluation.networks:factory"


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataWarning)
        yield


@pytest.fixture
def pixels(tmp_path: Path) -> Path:
    values = (next(marked(LABELS).batches(300)).inputs[0] * 255).astype(np.uint8)
    np.savez(tmp_path / "pixels.npz", images=values[:, 0], labels=LABELS)
    return tmp_path / "pixels.npz"


def test_any_network_on_any_data(pixels: Path) -> None:
    said: list[str] = []
    reports = run_eval(EvalPlan(FACTORY, ("fp32", "8/int8", "w4a8"), method="nearest", data=str(pixels)), said.append)
    assert [r.facts["config"] for r in reports] == ["fp32", "8/int8", "w4a8"]
    assert [r.facts["calibration_images"] for r in reports] == [0, 40, 40]
    assert [r.count for r in reports] == [160, 160, 160]
    assert {r.top1 for r in reports} == {1.0}
    assert "grey pixels" in said[0]
    json.dumps([r.to_json() for r in reports])


def test_a_file_that_is_quantized_keeps_its_integers(pixels: Path, tmp_path: Path) -> None:
    """Nothing calibrates, so every sample judges."""
    pytest.importorskip("onnx")
    net, example, _ = factory()
    made = lowbit.compile(net, example, config="8/int8", calibration=[torch.eye(4)[None, None]])
    path = made.export_onnx(tmp_path / "quantized.onnx")
    (report,) = run_eval(EvalPlan(str(path), None, data=str(pixels), preprocessing=Preprocessing(255.0), batch=1))
    assert (report.count, report.facts["config"], report.facts["calibration_images"]) == (200, AS_GIVEN, 0)
    assert report.to_json()["agreement"] == 1.0
    with pytest.raises(ConfigError, match="quantized already and keeps its integers; leave --configs out"):
        run_eval(EvalPlan(str(path), ("8/int8",), data=str(pixels), preprocessing=Preprocessing(255.0), batch=1))


def test_calibration_data_of_its_own(pixels: Path, tmp_path: Path) -> None:
    other = (next(marked(LABELS[:50]).batches(300)).inputs[0] * 250).astype(np.uint8)
    np.savez(tmp_path / "other.npz", images=other[:, 0], labels=LABELS[:50])
    (report,) = run_eval(
        EvalPlan(FACTORY, ("8/int8",), data=str(pixels), calibration_data=str(tmp_path / "other.npz"), method="nearest")
    )
    assert (report.count, report.facts["calibration_images"]) == (200, 50)
    with pytest.warns(DataWarning, match=r"200 of the 200 samples that judge calibrated as well, the first is row 0"):
        run_eval(EvalPlan(FACTORY, ("8/int8",), method="nearest", data=str(pixels), calibration_data=str(pixels)))


def test_calibration_that_looks_wrong(pixels: Path) -> None:
    with pytest.warns(DataWarning, match="8 samples calibrate"):
        run_eval(EvalPlan(FACTORY, ("8/int8",), method="nearest", data=str(pixels), calibration=8))
    some = np.repeat(np.arange(6), 20)
    assert calibration_notes(some, range(6)) == []
    assert calibration_notes(some[:40], range(6)) == ["calibration has samples of 2 of 6 classes; none of 2, 3, 4, 5"]
    (text,) = calibration_notes(np.concatenate([some, np.zeros(300, int)]), range(6))
    assert text == "calibration is unbalanced: 320 samples of class 0, 20 of class 1"


def test_preprocessing_of_a_factory() -> None:
    with pytest.raises(ConfigError, match="returned str as preprocessing"):
        run_eval(EvalPlan("tests.evaluation.networks:bad_factory", ("8/int8",), data="x.npz"))


def test_a_batch_for_inputs_without_one(pixels: Path) -> None:
    with pytest.raises(ConfigError, match="have no batch axis to make 3 of"):
        run_eval(EvalPlan("tests.tiny:flat_input", ("8/int8",), data=str(pixels), batch=3))
    (report,) = run_eval(EvalPlan(FACTORY, ("8/int8",), method="nearest", data=str(pixels), batch=3))
    assert report.count == 160


sklearn = pytest.mark.skipif(importlib.util.find_spec("sklearn") is None, reason="scikit-learn is not installed")


@sklearn
def test_digits() -> None:
    """No data at all: 8 bits lose nothing that matters."""
    eight, four = run_eval(EvalPlan("digits-cnn", ("8/int8", "4/int4"), method="nearest"))
    assert eight.count == 599
    assert eight.reference is not None
    assert eight.reference.top1 > 0.95
    assert eight.comparison is not None
    assert abs(eight.comparison.difference) < 0.01
    assert eight.comparison.agreement > 0.98
    assert four.top1 < eight.top1 + 0.01
    assert eight.notes == ()


@pytest.mark.data
def test_float_reproduces_the_known_figure_and_eight_bits_stay_close() -> None:
    name = "cifar10_resnet8_mlperftiny"
    full, narrow = run_eval(EvalPlan(name, ("fp32", "8/int8"), method="nearest"))
    assert full.count == 5000
    assert full.reference is not None
    assert 100 * full.reference.top1 == pytest.approx(PRETRAINED[name].top1, abs=0.05)
    assert full.top1 == full.reference.top1
    assert narrow.comparison is not None
    assert abs(narrow.comparison.difference) < 0.005
    assert [r.facts["calibration_images"] for r in (full, narrow)] == [0, 500]


@pytest.mark.data
def test_images_that_do_not_fill_a_batch() -> None:
    with pytest.warns(DataWarning, match="7 samples say little"):
        (row,) = run_eval(EvalPlan("cifar10_resnet8_mlperftiny", ("8/int8",), limit=7, calibration=20, method="nearest"))
    assert (row.count, row.facts["calibration_images"]) == (7, 20)
