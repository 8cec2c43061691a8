from __future__ import annotations

import json

import numpy as np
import pytest

from lowbit.backend.fields import pack_fields
from lowbit.graph import Graph
from lowbit.graph.ir import Node, TensorType
from lowbit.numerics import QParams, QType
from lowbit.runtime.graph_store import decode_graph, encode_graph
from tests.runtime.toy import toy_compiled, toy_graph, toy_program


def same(a: Graph, b: Graph) -> None:
    assert (a.name, a.inputs, a.outputs, a.nodes) == (b.name, b.inputs, b.outputs, b.nodes)
    assert set(a.constants) == set(b.constants)
    for name, value in a.constants.items():
        assert value.dtype == b.constants[name].dtype
        np.testing.assert_array_equal(value, b.constants[name])
    assert {n: t.shape for n, t in a.types.items()} == {n: t.shape for n, t in b.types.items()}
    assert {n: t.dtype for n, t in a.types.items()} == {n: t.dtype for n, t in b.types.items()}


def graph_of(weight: np.ndarray, **constants: np.ndarray) -> Graph:
    arrays = {"w": weight, **constants}
    types = {
        "x": TensorType((1, 4)),
        "y": TensorType((1, 4)),
        **{n: TensorType(a.shape, str(a.dtype)) for n, a in arrays.items()},
    }
    return Graph("g", ("x",), ("y",), (Node("y", "linear", ("x", *arrays)),), types, arrays)


def disk_entry(values: np.ndarray, text: str, container: int, offset: int = 64) -> tuple[dict[str, object], bytes]:
    packed = (
        values.astype("<f4").reshape(-1).view(np.uint8) if text == "f32" else pack_fields(values, QType.parse(text), container)
    )
    entry = {"qtype": text, "container": container, "values": values.size, "offset": offset}
    return entry, bytes(offset) + packed.tobytes()


@pytest.mark.parametrize("text", ["i4", "i8", "i3", "b1", "i16", "f32"])
def test_convolution_weights_are_not_stored_twice(text: str) -> None:
    """[O][kh][kw][I] on disk, [O][I][kh][kw] in the graph."""
    rng = np.random.default_rng(0)
    if text == "f32":
        weight, container = rng.normal(size=(6, 5, 3, 3)).astype(np.float32), 32
    else:
        qtype = QType.parse(text)
        weight = rng.choice([qtype.qmin, qtype.qmax], (6, 5, 3, 3)).astype(qtype.dtype)
        container = qtype.bits
    entry, file = disk_entry(weight.transpose(0, 2, 3, 1), text, container)
    graph = graph_of(weight, bias=np.arange(6, dtype=np.int32))
    sections = encode_graph(graph, [(weight.transpose(0, 2, 3, 1), entry)])
    assert len(sections["constants.bin"]) == 24
    assert json.loads(sections["graph.json"])["arrays"]["w"]["weights"]["taps"] == 9
    same(decode_graph({**sections, "weights.bin": file}), graph)


def test_linear_weights_behind_a_flattened_image() -> None:
    """(C, H, W) features in the graph, (H, W, C) on disk."""
    weight = np.random.default_rng(1).integers(-8, 8, (7, 5 * 6)).astype(np.int8)
    disk = np.ascontiguousarray(weight.reshape(7, 5, 6).transpose(0, 2, 1))
    entry, file = disk_entry(disk, "i4", 4)
    sections = encode_graph(graph_of(weight), [(disk, entry)])
    assert sections["constants.bin"] == b""
    same(decode_graph({**sections, "weights.bin": file}), graph_of(weight))


def test_weights_that_match_nothing_are_stored() -> None:
    weight = np.random.default_rng(2).integers(-8, 8, (7, 30)).astype(np.int8)
    entry, file = disk_entry(weight + 1 - 1 - (np.arange(30) == 29), "i8", 8)
    sections = encode_graph(graph_of(weight), [((weight - (np.arange(30) == 29)).astype(np.int8), entry)])
    assert len(sections["constants.bin"]) == 216
    same(decode_graph({**sections, "weights.bin": file}), graph_of(weight))


def test_constants_of_every_kind() -> None:
    arrays = {
        "scalar": np.array(3.5, np.float64),
        "empty": np.zeros((0, 3), np.int32),
        "wide": np.array([-(2**40), 2**40]),
        "flags": np.array([True, False]),
        "columns": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
        "big_endian": np.arange(3, dtype=">i4"),
    }
    graph = graph_of(np.zeros((2, 2), np.int8), **arrays)
    same(decode_graph({**encode_graph(graph), "weights.bin": b""}), graph)


def test_quantization_parameters_survive() -> None:
    graph = graph_of(np.ones((4, 4), np.int8))
    params = QParams(qtype=QType.parse("i4"), scale=np.float32([1, 2, 3, 4]), zero_point=0, axis=0)
    graph = graph.rebuild(graph.nodes, types={"w": TensorType((4, 4), "int8", params)})
    decoded = decode_graph({**encode_graph(graph), "weights.bin": b""}).types["w"].quant
    assert decoded is not None
    assert decoded.qtype == params.qtype
    np.testing.assert_array_equal(decoded.scale, params.scale)


def test_of_a_compiled_network() -> None:
    network, values = toy_compiled(bits="i3")
    program, _ = toy_program(bits="i3")
    same(network.graph(), toy_graph(program, values))
    assert network.section("constants.bin") == b"", "the 3-bit weights are in weights.bin alone"
