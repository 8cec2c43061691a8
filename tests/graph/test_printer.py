from dataclasses import replace

from lowbit.graph import Graph, Node, TensorType, print_graph
from lowbit.numerics import QParams, QType
from tests.graph.build import Build, everything


def test_text_of_a_small_graph() -> None:
    b = Build()
    x = b.input("x", 1, 2)
    w = b.constant("fc.weight", [[1.0, 2.0]])
    y = b.node("fc", "linear", x, w, b.constant("fc.bias", [0.5]), lo=0.0, hi=None)
    lines = print_graph(b.graph(y)).splitlines()
    assert lines[0] == "graph net"
    assert lines[1] == "  input %x: float32[1x2]"
    assert lines[2].startswith("  const %fc.bias: float32[1] #")
    assert lines[3].startswith("  const %fc.weight: float32[1x2] #")
    assert lines[4] == "  %fc: float32[1x1] = linear(%x, %fc.weight, %fc.bias) hi=None lo=0  # net.py:1"
    assert lines[5] == "  return %fc"


def test_stable_and_shows_a_changed_weight_or_scale() -> None:
    graph = everything()
    assert print_graph(graph) == print_graph(everything())
    weight = graph.constants["stem.weight"].copy()
    weight[0, 0, 0, 0] += 1e-3
    changed = replace(graph, constants={**graph.constants, "stem.weight": weight})
    before, after = print_graph(graph).splitlines(), print_graph(changed).splitlines()
    assert [line.split()[1] for line, other in zip(before, after, strict=True) if line != other] == ["%stem.weight:"]


def test_long_tuples_are_abbreviated_with_a_hash() -> None:
    def text(last: int) -> str:
        rows = (*((i, i + 1) for i in range(20)), (20, last))
        node = Node("p", "max_pool2d", ("x",), {"windows": rows, "columns": ((0, 1),)})
        types = {"x": TensorType((1, 1, 30, 1)), "p": TensorType((1, 1, 21, 1), "uint8", QParams(QType.parse("u8"), 0.5))}
        return print_graph(Graph("g", ("x",), ("p",), (node,), types))

    assert "windows=((0, 1), .. (20, 21) #" in text(21)
    assert "columns=((0, 1),)" in text(21)
    assert "%p: u8(scale=0.5)[1x1x21x1]" in text(21)
    assert len(text(21)) < 300
    assert text(21) != text(22)
