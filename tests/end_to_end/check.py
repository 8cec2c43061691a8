"""Compile a network and hold its output against the oracle."""

from __future__ import annotations

from typing import Any

import numpy as np

import lowbit
from lowbit.graph.interpreter import interpret
from lowbit.runtime.compiled import Compiled

__all__ = ["agrees", "as_tuple", "build", "expected"]


def as_tuple(result: Any) -> tuple[np.ndarray, ...]:
    return result if isinstance(result, tuple) else (result,)


def build(model: Any, example: Any, **options: Any) -> Compiled:
    """Compiled for two threads, ranges observed on the example itself."""
    options = {"threads": 2, **options}
    if options.get("config", "") != "fp32" and ("config" in options or "weights" in options):
        options.setdefault("calibration", [example if isinstance(example, tuple) else (example,)])
    return lowbit.compile(model, example, **options)


def expected(network: Compiled, inputs: tuple[np.ndarray, ...]) -> list[np.ndarray]:
    """What the oracle computes from the graph in the artifact."""
    with np.errstate(all="ignore"):  # NaN and infinities are inputs like others here
        return interpret(network.graph(), inputs)


def agrees(network: Compiled, *inputs: np.ndarray) -> tuple[np.ndarray, ...]:
    """Asserts that every output equals the oracle's, integer for integer; returns the outputs."""
    outputs = network.outputs(*inputs)
    wanted = expected(network, inputs)
    assert len(outputs) == len(wanted)
    for output, want in zip(outputs, wanted, strict=True):
        assert output.dtype == want.dtype
        assert output.dtype in (np.float32, np.int64)
        assert output.shape == want.shape
        np.testing.assert_array_equal(output, want)
    return outputs
