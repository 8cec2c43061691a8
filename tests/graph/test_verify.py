from dataclasses import replace

import numpy as np
import pytest

from lowbit.errors import GraphError
from lowbit.graph import Graph, Node, TensorType, verify
from lowbit.numerics import QParams, QType
from lowbit.quantization import QuantizationConfig, calibrate, quantize_graph, random_samples
from tests.graph.build import everything, residual_network


@pytest.fixture(scope="module")
def integer() -> Graph:
    graph = everything()
    config = QuantizationConfig("i4", "u8", granularity="per_group:3")
    return quantize_graph(graph, calibrate(graph, random_samples(graph, 0, 1)), config)


def change(graph: Graph, name: str, **fields) -> Graph:
    """The graph with fields of one node replaced."""
    return replace(graph, nodes=tuple(replace(n, **fields) if n.name == name else n for n in graph.nodes))


def retype(graph: Graph, name: str, **fields) -> Graph:
    return replace(graph, types={**graph.types, name: replace(graph.types[name], **fields)})


def requant(graph: Graph, name: str, **fields) -> Graph:
    return retype(graph, name, quant=replace(graph.types[name].quant, **fields))


def reattr(graph: Graph, name: str, **attrs) -> Graph:
    return change(graph, name, attrs={**graph.node(name).attrs, **attrs})


def without_attr(graph: Graph, name: str, attr: str) -> Graph:
    return change(graph, name, attrs={k: v for k, v in graph.node(name).attrs.items() if k != attr})


def test_good_graphs_pass(integer: Graph) -> None:
    for graph in (residual_network(), everything(), integer):
        assert verify(graph) is graph


FLOAT = {
    "order": (lambda g: replace(g, nodes=g.nodes[::-1]), r"fc \(linear\): reads 'flat', which is not defined before it \[net"),
    "unknown op": (lambda g: change(g, "stem", op="conv3d"), "unknown operation; known: conv2d"),
    "name taken": (lambda g: replace(g, nodes=(*g.nodes, g.nodes[-1])), r"fc \(linear\): the name is already taken"),
    "few inputs": (lambda g: change(g, "stem", inputs=("x",)), "1 inputs; takes 2 to 4"),
    "many inputs": (lambda g: change(g, "flat", inputs=("mean", "mean")), "2 inputs; takes 1 to 1"),
    "missing attr": (lambda g: without_attr(g, "stem", "stride"), r"attrs missing: \['stride'\], unknown: \[\]"),
    "unknown attr": (lambda g: reattr(g, "stem", strides=(1, 1)), r"unknown: \['strides'\]"),
    "untyped": (lambda g: replace(g, types={k: v for k, v in g.types.items() if k != "stem"}), "'stem' has no type"),
    "untyped input": (lambda g: replace(g, types={k: v for k, v in g.types.items() if k != "x"}), "'x' has no type"),
    "no elements": (lambda g: retype(g, "stem", shape=(2, 0, 10, 9)), "'stem' has shape .*; every extent must be at least 1"),
    "attrs of another kind": (lambda g: reattr(g, "stem", stride=None), r"stem \(conv2d\): attrs .* do not fit its inputs"),
    "attrs of another rank": (lambda g: reattr(g, "stem", stride=(1, 1, 1)), "attrs .* do not fit its inputs"),
    "wrong shape": (lambda g: retype(g, "stem", shape=(2, 8, 10, 8)), r"makes shape \(2, 8, 10, 9\), its type says"),
    "activation as weight": (lambda g: change(g, "fc", inputs=("flat", "flat", "fc.bias")), "parameter 'flat' is not a constant"),
    "unknown output": (lambda g: replace(g, outputs=("nothing",)), "output 'nothing' is not a value"),
    "no outputs": (lambda g: replace(g, outputs=()), "no outputs"),
    "double name": (lambda g: replace(g, inputs=("x", "fc.bias")), "both an input and a constant"),
    "constant shape": (lambda g: retype(g, "fc.bias", shape=(4,)), r"has shape \(5,\), its type says \(4,\)"),
    "constant dtype": (lambda g: retype(g, "fc.bias", dtype="float64"), "is float32, its type says float64"),
    "integers from floats": (
        lambda g: retype(g, "stem", quant=QParams(QType.parse("u8"), 1.0)),
        "only quantize does that",
    ),
    "unknown function": (
        lambda g: replace(g, nodes=(*g.nodes, Node("u", "unary", ("x",), {"fn": "cube"}))),
        "unknown function 'cube'; known: abs",
    ),
    "quantize to float": (
        lambda g: replace(g, nodes=(*g.nodes, Node("q", "quantize", ("fc",))), types={**g.types, "q": g.types["fc"]}),
        "goes from float32",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", FLOAT)
def test_broken_float_graph(case: str) -> None:
    breaking, match = FLOAT[case]
    with pytest.raises(GraphError, match=match):
        verify(breaking(residual_network()))


def _constant(graph: Graph, name: str, values: np.ndarray) -> Graph:
    graph = replace(graph, constants={**graph.constants, name: values})
    return retype(graph, name, shape=values.shape, dtype=str(values.dtype))


INTEGER = {
    "weight zero point": (lambda g: requant(g, "stem.weight", zero_point=1), "weights are symmetric"),
    "weight scale": (lambda g: requant(g, "stem.weight", scale=1.0, axis=None), "one scale per output channel"),
    "weight range": (lambda g: _constant(g, "grouped.weight", g.constants["grouped.weight"] * 0 + 8), "holds 8, which i4 cannot"),
    "weight dtype": (lambda g: _constant(g, "stem.weight", g.constants["stem.weight"].astype("int16")), "is held in int8"),
    "b1 zero": (
        lambda g: requant(_constant(g, "fc.weight", g.constants["fc.weight"] * 0), "fc.weight", qtype=QType.parse("b1")),
        "holds 0, which b1 cannot",
    ),
    "group scales": (
        lambda g: requant(g, "branch.weight", group_scale=g.types["branch.weight"].quant.group_scale * 0 + 17),
        r"group scales must be integers of shape \(6, 4\)",
    ),
    "float weights": (lambda g: retype(g, "fc.weight", quant=None), "integer activations need integer weights"),
    "no bias": (lambda g: change(g, "stem", inputs=g.node("stem").inputs[:2]), "needs a bias constant"),
    "bias dtype": (lambda g: _constant(g, "stem.bias", g.constants["stem.bias"].astype("int16")), "bias is int16, must be int32"),
    "select": (lambda g: requant(g, "max", zero_point=3), "only selects values, but goes from"),
    "floats from integers": (lambda g: retype(g, "cat", quant=None), "only dequantize and last layers"),
    "mixed": (lambda g: change(g, "moved", inputs=("gated", "x4")), "mixes integer and float32"),
    "short table": (lambda g: _constant(g, "act.table", g.constants["act.table"][:-1]), "needs a table of 256 entries"),
    "table dtype": (lambda g: _constant(g, "act.table", g.constants["act.table"].astype("int32")), "int32, must be uint8"),
    "no qlo": (lambda g: without_attr(g, "cat", "qlo"), "qlo None, qhi 32767 must be integers with -32768 <= qlo"),
    "qhi": (lambda g: reattr(g, "stem", qhi=256), "qhi 256 must be integers"),
    "dequantize": (lambda g: retype(g, "clamped.dequantize", quant=g.types["clamped"].quant), "goes from"),
}  # fmt: skip


@pytest.mark.parametrize("case", INTEGER)
def test_broken_integer_graph(integer: Graph, case: str) -> None:
    breaking, match = INTEGER[case]
    graph = replace(integer, inputs=("x", "x4"), types={**integer.types, "x4": TensorType((1, 18, 1, 1))})
    with pytest.raises(GraphError, match=match):
        verify(breaking(graph))
