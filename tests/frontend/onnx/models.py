"""ONNX models written by hand, and what onnxruntime makes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["model", "runtime"]


def model(
    nodes: Sequence[tuple[Any, ...]],
    inputs: Mapping[str, Sequence[int | str]],
    constants: Mapping[str, Any] | None = None,
    opset: int = 17,
    outputs: Sequence[str] = ("y",),
    domains: Sequence[str] = (),
    kinds: Mapping[str, int] | None = None,
) -> Any:
    """``nodes``: (operation, inputs, outputs, {attribute: value}), names separated by blanks, operations as "domain:Name";
    ``kinds``: ONNX element type of constants whose numpy type does not say it."""
    from onnx import TensorProto, helper, numpy_helper

    made = []
    for index, (op, read, written, *attributes) in enumerate(nodes):
        domain, _, name = op.rpartition(":")
        given = attributes[0] if attributes else {}
        split = [each if each != "_" else "" for each in read.split()]
        made.append(helper.make_node(name, split, written.split(), f"node{index}", domain=domain, **given))
    held = []
    for name, value in (constants or {}).items():
        if kinds and name in kinds:
            held.append(helper.make_tensor(name, kinds[name], np.shape(value), np.asarray(value).reshape(-1)))
        else:
            held.append(numpy_helper.from_array(np.asarray(value), name))
    graph = helper.make_graph(
        made,
        "graph",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        held,
    )
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8 if opset < 21 else 10)


def runtime(given: Any, *inputs: np.ndarray, fused: bool = False) -> list[np.ndarray]:
    """onnxruntime's outputs, every node as the file has it; ``fused``: after its optimizations, which compute on integers (but
    also round float biases), products summed without saturation."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    if not fused:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.x64quantprecision", "1")
    data = given if isinstance(given, (str, bytes)) else given.SerializeToString()
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]
    return list(session.run(None, dict(zip(names, inputs, strict=True))))
