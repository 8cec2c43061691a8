"""compile says it when a configuration will be poor, and keeps what it measured."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

import lowbit
from lowbit.errors import ArtifactError, CalibrationWarning, PrecisionWarning
from lowbit.measure.noise import CEILING, LayerNoise, Noise
from lowbit.measure.noise_notes import noise_notes
from lowbit.runtime.schema import MANIFEST
from tests.measure.test_noise import X, alive, healthy, unequal_channels


def test_a_poor_configuration_is_warned_of() -> None:
    with pytest.warns(PrecisionWarning, match=r"rounding loses much of the signal.*'2' \(conv2d\) 8 dB.*layers=\{"):
        network = lowbit.compile(unequal_channels(), X, config="8/int8", calibration=[X], method="nearest")
    assert network.noise is not None
    assert network.noise["layers"][1]["own_db"] < 10
    with pytest.warns(PrecisionWarning, match="rounding loses"):
        lowbit.quantize(unequal_channels(), X, config="8/int8", calibration=[X], method="nearest")
    with pytest.warns(PrecisionWarning, match="rounding loses"):
        lowbit.compile(
            unequal_channels(), X, weights="i8", activations="u8", granularity="per_tensor", calibration=[X], method="nearest"
        )


def test_a_healthy_one_is_not_and_its_figures_are_saved(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", CalibrationWarning)
        network = lowbit.compile(healthy(), X, config="8/int8", calibration=[X], method="nearest", name="net")
    loaded = lowbit.load(network.save(tmp_path / "net.lowbit"))
    assert loaded.noise == network.noise
    assert loaded.noise is not None
    assert [layer["name"] for layer in loaded.noise["layers"]] == ["0", "2"]
    assert all(layer["own_db"] > 30 for layer in loaded.noise["layers"])
    assert loaded.digest == lowbit.compile(healthy(), X, config="8/int8", calibration=[X], method="nearest", name="net").digest
    assert network.seconds["measure"] >= 0


def test_a_plan_names_weights_and_inputs_together() -> None:
    """Whichever of the two is the worse."""
    graph = lowbit.trace(unequal_channels(), X, name="net")
    for causes in ({"weights": 9.0, "0": 10.0}, {"weights": 10.0, "0": 9.0}):
        widths = {"weights": "i8", "0": "u8", "output": "f32"}
        layer = LayerNoise("2", "conv2d", 6.0, 6.0, {**causes, "output": CEILING}, widths)
        (text,) = noise_notes(Noise(1, (layer,), {"2": 6.0}), graph)
        assert 'layers={"2": "i16/i16"}' in text


def test_without_data_nothing_is_measured() -> None:
    assert lowbit.compile(healthy(), X, config="8/int8").noise is None
    assert lowbit.compile(healthy(), X).noise is None
    seen = lowbit.calibrate(healthy(), X, [X], keep=0)
    assert lowbit.compile(healthy(), X, config="8/int8", calibration=seen).noise is None


def test_samples_that_say_nothing() -> None:
    with pytest.warns(CalibrationWarning, match="all 12 calibration samples are the same; check what the loader yields"):
        lowbit.compile(healthy(), X, config="8/int8", calibration=[X[:1]] * 12, method="nearest")
    with pytest.warns(CalibrationWarning, match="an input is constant"):
        lowbit.compile(healthy(), X, config="8/int8", calibration=[X * 0] * 3, method="nearest")


def test_one_bit_and_padding() -> None:
    model = alive(torch.nn.Sequential(*(torch.nn.Conv2d(3, 3, 3, padding=1) for _ in range(3))), 2)
    with pytest.warns(PrecisionWarning, match=r"'1': padded with 0, which b1 \(-1, \+1\) does not have"):
        lowbit.compile(model, X, weights="b1", activations="b1")


@pytest.mark.parametrize(
    "change", [{"rows": 0}, {"outputs": {"y": "much"}}, {"layers": [{}]}, {"more": 1}, {"outputs": {"y": 300.0}}]
)
def test_figures_in_an_artifact_are_checked(change: dict[str, object]) -> None:
    network = lowbit.compile(healthy(), X, config="8/int8", calibration=[X], method="nearest")
    manifest = json.loads(json.dumps(network.manifest))
    MANIFEST(manifest, "manifest.json")
    manifest["noise"].update(change)
    with pytest.raises(ArtifactError, match="manifest.json.noise"):
        MANIFEST(manifest, "manifest.json")


def test_the_figures_are_those_of_the_network_that_runs() -> None:
    """The output's ratio, from the compiled network itself."""
    network = lowbit.compile(healthy(), X, config="4/int4", calibration=[X], method="nearest")
    exact, found = healthy()(X).detach().numpy(), np.asarray(network(X.numpy()))
    assert network.noise is not None
    (stated,) = network.noise["outputs"].values()
    assert stated == pytest.approx(10 * np.log10((exact**2).sum() / ((exact - found) ** 2).sum()), abs=0.06)
