"""What net(x) gives has the form that the model's outputs have; from a file as far as no class is needed."""

from __future__ import annotations

import subprocess
import sys
from collections import namedtuple
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import lowbit
from lowbit.errors import ArtifactError, UnsupportedOperation
from lowbit.runtime.compiled import Compiled
from tests.end_to_end.reported import Net

Boxes = namedtuple("Boxes", "boxes scores")
X = torch.randn((1, 3, 8, 8), generator=torch.Generator().manual_seed(0))


@dataclass
class Found:
    logits: Any
    hidden: Any = None


def _model(form: Any) -> nn.Module:
    return Net(lambda net, x: form(net.a(x)), a=nn.Conv2d(3, 4, 3)).eval()


def _compiled(form: Any) -> Compiled:
    return lowbit.compile(_model(form), X, config="8/int8", calibration=[X], threads=1, method="nearest")


@pytest.fixture(scope="module")
def nested() -> Compiled:
    return _compiled(lambda y: {"out": Found(y, [y.relu(), None]), "pair": Boxes(y.mean((2, 3)), 7), "none": None})


def test_the_form_of_the_model(nested: Compiled) -> None:
    got = nested(X)
    assert list(got) == ["out", "pair", "none"]
    assert got["none"] is None
    assert isinstance(got["out"], Found)
    assert isinstance(got["pair"], Boxes)
    assert got["pair"].scores == 7
    assert got["out"].hidden[1] is None
    flat = nested.outputs(X)
    for value, same in zip((got["out"].logits, got["out"].hidden[0], got["pair"].boxes), flat, strict=True):
        assert isinstance(value, Tensor)
        assert torch.equal(value, same)


def test_from_a_file_without_torch(nested: Compiled, tmp_path: Path) -> None:
    path = nested.save(tmp_path / "net.lowbit")
    np.save(tmp_path / "x.npy", X.numpy())
    code = (
        "import sys, numpy, lowbit\n"
        f"y = lowbit.load({str(path)!r})(numpy.load({str(tmp_path / 'x.npy')!r}))\n"
        "assert 'torch' not in sys.modules\n"
        "assert set(y['out']) == {'logits', 'hidden'} and y['pair']._fields == ('boxes', 'scores') and y['none'] is None\n"
        f"numpy.save({str(tmp_path / 'y.npy')!r}, y['out']['logits'])\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), nested.outputs(X)[0].numpy())
    assert lowbit.load(path).graph().structure == nested.graph().structure


def test_a_plan_keeps_the_form() -> None:
    model = _model(lambda y: {"y": y})
    plan = lowbit.quantize(model, X, config="4/int4", calibration=[X], method="nearest")
    assert list(lowbit.compile(model, X, plan=plan, threads=1)(X)) == ["y"]
    assert list(lowbit.compile(plan.integer_graph(), threads=1)(X)) == ["y"]


def test_altered_files_are_refused(nested: Compiled) -> None:
    manifest = {**nested.manifest, "structure": {"list": [0, 9]}}
    with pytest.raises(ArtifactError, match="structure of the outputs: it has output 9 of 3"):
        Compiled(manifest, {name: nested.section(name) for name in nested.sections})


@pytest.mark.parametrize(
    ("form", "message"),
    [
        (lambda y: {"a": object(), "b": y}, "returns a object; outputs are tensors"),
        (lambda y: {"a": 3}, "without a tensor"),
    ],
)
def test_other_outputs_are_refused(form: Any, message: str) -> None:
    model = _model(form)
    with pytest.raises(UnsupportedOperation, match=message):
        lowbit.compile(model, X)
    assert not model._forward_hooks
