"""A small frozen graph: values with shapes and types, nodes in execution order."""

from lowbit.graph.interpreter import interpret
from lowbit.graph.ir import Graph, Integers, Node, TensorType
from lowbit.graph.printer import print_graph
from lowbit.graph.serialize import from_dict, to_dict
from lowbit.graph.verify import verify

__all__ = ["Graph", "Integers", "Node", "TensorType", "from_dict", "interpret", "print_graph", "to_dict", "verify"]
