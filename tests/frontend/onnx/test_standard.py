"""ONNX's own test of every operation: what is read computes what the standard says, everything else is refused.

The cases, made by the package ``onnx``, hold a model of one node, inputs and the outputs that are right.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

import lowbit
from lowbit.errors import LowbitError
from lowbit.frontend.evaluation import evaluate

pytest.importorskip("onnx")

_PARTS = 8
_LEARNING = ("test_adagrad", "test_adam", "test_momentum", "test_nesterov")  # operations of training, without a name here
_READ = 800  # runs, of onnx 1.23's cases, that are read at the least


@cache
def _cases() -> list[Any]:
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = collect_testcases(None)
    return [case for case in found if case.data_sets and not case.name.startswith(_LEARNING)]


def _runs(case: Any) -> Iterator[tuple[Any, list[np.ndarray], list[Any]]]:
    """The model with all its floating point inputs as inputs, and with the first one alone; the rest are constants."""
    from onnx import numpy_helper

    inputs, outputs = case.data_sets[0]
    names = [value.name for value in case.model.graph.input]
    given = dict(zip(names, inputs, strict=False))
    if not all(isinstance(value, np.ndarray) for value in inputs):
        return
    real = [name for name in names if given[name].dtype.kind == "f"]
    for live in [real, names[:1]] if len(names) > 1 else [real]:
        if not live:
            continue
        model = copy.deepcopy(case.model)
        model.graph.initializer.extend(numpy_helper.from_array(given[name], name) for name in names if name not in live)
        kept = [value for value in model.graph.input if value.name in live]
        del model.graph.input[:]
        model.graph.input.extend(kept)
        yield model, [given[name] for name in live], outputs


def _equal(result: np.ndarray, expected: Any) -> bool:
    """To 1e-3 of each number and 1e-3: cases of float16 are computed in float32 here, and in float16 there; bfloat16 has eight
    times fewer digits."""
    if not isinstance(expected, np.ndarray | np.generic):
        return False
    near = 8e-3 if expected.dtype.name == "bfloat16" else 1e-3
    return result.shape == expected.shape and np.allclose(result, expected.astype(np.float64), near, near, equal_nan=True)


def _read(case: Any) -> int:
    """How many runs of a case are read, all of them right."""
    read = 0
    for model, inputs, outputs in _runs(case):
        try:
            graph = lowbit.trace(model)
        except LowbitError:
            continue
        results = evaluate(graph, [torch.from_numpy(np.ascontiguousarray(each).astype(np.float32)) for each in inputs])
        assert len(results) == len(outputs), case.name
        for result, expected in zip(results, outputs, strict=True):
            assert _equal(result.numpy(), expected), f"{case.name}: {result} is not {expected}"
        read += 1
    return read


@pytest.mark.parametrize("part", range(_PARTS))
def test_operations_compute_what_the_standard_says_or_are_refused(part: int) -> None:
    assert sum(_read(case) for case in _cases()[part::_PARTS]) >= _READ // _PARTS * 3 // 4
