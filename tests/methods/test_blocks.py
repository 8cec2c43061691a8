"""Blocks lie between the points at which one value is live."""

from __future__ import annotations

from lowbit.methods.blocks import blocks_of
from tests.graph.build import Build, everything, residual_network


def test_residual_blocks() -> None:
    blocks = blocks_of(residual_network(), 1)
    assert [[node.name for node in block.nodes] for block in blocks] == [
        ["stem"],
        ["block.conv1", "block.conv2"],
        ["down"],
        ["mean", "flat", "fc"],
    ]
    assert [(block.reads, block.gives) for block in blocks] == [
        (("x",), ("stem",)),
        (("stem",), ("block.conv2",)),
        (("block.conv2",), ("down",)),
        (("down",), ("fc",)),
    ]


def test_short_blocks_are_joined() -> None:
    assert [block.name for block in blocks_of(residual_network(), 2)] == ["stem .. block.conv2", "down .. fc"]


def test_the_blocks_are_the_network() -> None:
    for least in (1, 2, 9):
        graph = everything()
        blocks = blocks_of(graph, least)
        assert [node for block in blocks for node in block.nodes] == list(graph.nodes)
        assert set(graph.outputs) <= {name for block in blocks for name in block.gives}


def test_a_tail_without_layers_joins_the_last_block() -> None:
    b = Build()
    x = b.input("x", 1, 3, 6, 6)
    graph = b.graph(b.global_mean("mean", b.conv("b", b.conv("a", x, 4), 4)))
    assert [[n.name for n in block.nodes] for block in blocks_of(graph, 1)] == [["a"], ["b", "mean"]]
