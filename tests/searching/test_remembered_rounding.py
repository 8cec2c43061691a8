"""Integers of layers, remembered."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lowbit.numerics import QParams, QType
from lowbit.quantization import QuantizationConfig
from lowbit.quantization.layer_numbers import quantize_parameters
from lowbit.searching import remembered_rounding
from lowbit.searching.remembered_rounding import RememberedRounding

CONFIG = QuantizationConfig(weights="i4", activations="u8")  # type: ignore[arg-type]
GENERATOR = np.random.default_rng(0)
W, BIAS = GENERATOR.standard_normal((6, 5, 3, 3), np.float32), GENERATOR.standard_normal(6, np.float32)
MEANS = GENERATOR.random(5, np.float32)
X = QParams(QType(8, False), np.asarray(0.02), 3)
GIVEN = (CONFIG, W, BIAS, X, QType(4, True), None, MEANS)
OTHERS = {
    "config": (0, replace(CONFIG, granularity="per_tensor")),
    "scale": (0, replace(CONFIG, scale="power_of_two")),
    "weights": (1, W * np.float32(1.5)),
    "shape": (1, W.reshape(6, 5, 9, 1)),
    "bias": (2, BIAS + 1),
    "scale of the input": (3, replace(X, scale=np.asarray(0.03))),
    "type of the input": (3, replace(X, qtype=QType(7, False))),
    "type": (4, QType(3, True)),
    "container": (5, 8),
    "means": (6, MEANS + 1),
    "no means": (6, None),
}


@pytest.fixture
def asked(monkeypatch):  # type: ignore[no-untyped-def]
    calls: list[int] = []

    def rounding(*given):  # type: ignore[no-untyped-def]
        calls.append(1)
        return quantize_parameters(*given)

    monkeypatch.setattr(remembered_rounding, "quantize_parameters", rounding)
    return calls


def test_the_same_is_rounded_once(asked) -> None:  # type: ignore[no-untyped-def]
    known = RememberedRounding()
    first, again = known(*GIVEN), known(*(value.copy() if isinstance(value, np.ndarray) else value for value in GIVEN))
    assert len(asked) == 1
    assert again is first


@pytest.mark.parametrize("what", OTHERS)
def test_what_differs_is_rounded_anew(what: str, asked) -> None:  # type: ignore[no-untyped-def]
    known, (index, value) = RememberedRounding(), OTHERS[what]
    known(*GIVEN)
    changed = [*GIVEN]
    changed[index] = value
    q, params, bias = known(*changed)
    assert len(asked) == 2
    want_q, want_params, want_bias = quantize_parameters(*changed)  # type: ignore[arg-type]
    assert np.array_equal(q, want_q)
    assert np.array_equal(bias, want_bias)
    assert np.array_equal(params.scale, want_params.scale)


def test_the_oldest_are_forgotten(asked) -> None:  # type: ignore[no-untyped-def]
    known = RememberedRounding(limit=W.size)  # one layer's
    other = (CONFIG, W + 1, *GIVEN[2:])
    for given in (GIVEN, GIVEN, other, GIVEN):
        known(*given)
    assert len(asked) == 3
