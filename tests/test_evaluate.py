"""Accuracy on real images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lowbit.errors import ConfigError
from lowbit.evaluate import EvalPlan, _padded, run_eval
from lowbit.zoo.pretrained import PRETRAINED


def test_short_batches_are_filled_up() -> None:
    batches = [np.arange(3)[:, None], np.array([[7]])]
    (full, three), (padded, one) = _padded(batches, 3)
    assert (three, one) == (3, 1)
    assert full.ravel().tolist() == [0, 1, 2]
    assert padded.ravel().tolist() == [7, 7, 7]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"network": "resnet51"}, "no pretrained network 'resnet51'; known: cifar10_resnet8"),
        ({"configs": ()}, "no configuration"),
        ({"configs": ("7/int9",)}, "unknown configuration"),
        ({"limit": 0}, "at least one image"),
        ({"calibration": 0}, "at least one image"),
        ({"target": "vax"}, "unknown target"),
    ],
)
def test_plans_are_checked(options: dict[str, object], text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOWBIT_DATA", str(tmp_path))
    with pytest.raises(ConfigError, match=text):
        EvalPlan(**{"network": "cifar10_resnet20", "configs": ("8/int8",), **options})  # type: ignore[arg-type]


def test_without_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOWBIT_DATA", raising=False)
    with pytest.raises(ConfigError, match="set LOWBIT_DATA"):
        EvalPlan("cifar10_resnet20", ("8/int8",))


@pytest.mark.data
def test_float_reproduces_the_known_figure_and_eight_bits_stay_close() -> None:
    name = "cifar10_resnet8_mlperftiny"
    full, narrow = run_eval(EvalPlan(name, ("fp32", "8/int8")))
    assert full.result.count == 5000
    assert 100 * full.result.reference_top1 == pytest.approx(PRETRAINED[name].top1, abs=0.05)
    assert full.result.top1 == full.result.reference_top1
    assert abs(narrow.result.difference) < 0.005
    assert (full.calibration, narrow.calibration) == (0, 500)


@pytest.mark.data
def test_images_that_do_not_fill_a_batch() -> None:
    (row,) = run_eval(EvalPlan("cifar10_resnet8_mlperftiny", ("8/int8",), limit=7, calibration=20))
    assert row.result.count == 7
    assert row.calibration == 20
