"""Random graphs and programs as ONNX models, and back: the writer, the importer, torch's exporter and onnxruntime."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lowbit.errors import LowbitError
from lowbit.export.onnx.writer import to_onnx
from lowbit.frontend import evaluate, import_model
from lowbit.graph import Graph, Node, interpret
from lowbit.graph.ops import LAYERS, PASS_THROUGH
from lowbit.graph.verify import verify
from lowbit.passes import canonicalize
from lowbit.tracer import trace
from tests.frontend.onnx.exported import exported
from tests.frontend.onnx.models import runtime
from tests.fuzz.checks import Checked, Refused, allowances, close, observed, quantized
from tests.fuzz.configs import draw_config
from tests.fuzz.draws import Draws, Rejected

__all__ = ["check_exported", "check_written"]

EXACT = frozenset({"quantize", "dequantize", "concat", "clamp", "add", "sub", "mul", *LAYERS, *PASS_THROUGH})
"""Integer operations whose numbers come back to the last bit; of others (affine, averages) constants are rounded once more."""


def check_written(graph: Graph, inputs: Sequence[Tensor], draws: Draws, checked: Checked) -> None:
    """A canonical float graph, written and imported again, computes the same; so do its integers at a drawn precision, which
    are the same to the last bit where every operation's numbers are."""
    back = canonicalize(verify(_imported(_written(graph, checked), checked)))
    outputs = evaluate(graph, inputs, dtype=torch.float64)
    allowed = [
        4 * bound + 1e-6 * float(value.abs().max())
        for bound, value in zip(allowances(graph, inputs, outputs), outputs, strict=True)
    ]
    close(evaluate(back, inputs, dtype=torch.float64), outputs, allowed, "imported graph and the graph that was written")
    config = draw_config(draws, graph)
    integer = quantized(graph, observed(graph, inputs), config, checked)
    if integer is None:
        return
    again, arrays = trace(_written(integer, checked)), [value.numpy() for value in inputs]
    if {node.op for node in integer.nodes} <= EXACT and integer.is_exact and not any(map(_bias_apart(integer), integer.nodes)):
        for ours, theirs in zip(interpret(integer, arrays), interpret(again, arrays), strict=True):
            assert np.array_equal(ours, theirs), "the integers that came back give another result"
        checked.reach(integer, "integers")
    checked.reach(graph, "float")


def _bias_apart(graph: Graph) -> Callable[[Node], bool]:
    """Whether a layer is written as MatMul and Add and gives float32: then its bias is added after one more rounding.  Or whether
    its bias is beyond int32, which is written in float32."""

    def apart(node: Node) -> bool:
        wide = node.op in LAYERS and np.abs(graph.constants[node.inputs[2]].astype(np.float64)).max(initial=0) >= 2.0**31
        return wide or (node.op == "linear" and len(graph.types[node.name].shape) != 2 and graph.types[node.name].quant is None)

    return apart


def _written(graph: Graph, checked: Checked) -> Any:
    try:
        return to_onnx(graph)
    except LowbitError as error:
        checked.refuse(error)
        raise Refused from None


def _imported(model: Any, checked: Checked) -> Graph:
    try:
        return import_model(model)
    except LowbitError as error:
        checked.refuse(error)
        raise Refused from None


def check_exported(module: torch.nn.Module, inputs: Sequence[Tensor], checked: Checked) -> None:
    """What torch's exporter makes of a program: onnxruntime's result and the imported graph's."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            model = exported(module, [x.clone() for x in inputs])
            theirs = runtime(model, *(x.numpy() for x, _ in zip(inputs, model.graph.input, strict=False)))
        except Exception as error:  # theirs: an operation without a symbol, a rank, a program without inputs left
            raise Rejected(f"not exported, or not run: {type(error).__name__}") from None
    if len(model.graph.input) != len(inputs) or not all(np.isfinite(value).all() for value in theirs):
        raise Rejected("an input was left out, or values are not finite")
    graph = verify(_imported(model, checked))
    outputs = evaluate(graph, inputs, dtype=torch.float64)
    bounds = allowances(graph, inputs, outputs)
    allowed = [100 * bound + 2e-4 * max(1.0, float(value.abs().max())) for bound, value in zip(bounds, outputs, strict=True)]
    close(outputs, [torch.from_numpy(value) for value in theirs], allowed, "imported graph and onnxruntime")
    checked.reach(graph, "exported")
