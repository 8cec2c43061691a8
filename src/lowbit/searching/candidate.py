"""A plan made real: its integer graph, its network, and what they cost."""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING

from lowbit.graph import Graph
from lowbit.graph.ops import LAYERS
from lowbit.graph.rebatch import rebatch
from lowbit.lowering import Program
from lowbit.measure.scores import Outcomes
from lowbit.methods import QuantizationPlan
from lowbit.quantization.statistics import average_bits, layer_statistics
from lowbit.runtime import Compiled
from lowbit.searching.clock import Reading
from lowbit.searching.energy import network_energy_uj
from lowbit.searching.opened import Opened

if TYPE_CHECKING:
    from lowbit.searching.evaluator import Evaluator

__all__ = ["Candidate"]


class Candidate:
    """What is asked of it is computed then, and once.  ``plan``: the numbers; ``evaluator``: what all plans share."""

    def __init__(self, evaluator: Evaluator, plan: QuantizationPlan) -> None:
        self.evaluator, self.plan = evaluator, plan

    @property
    def where(self) -> str:
        """What times are of."""
        return self.evaluator.clock.where

    @cached_property
    def graph(self) -> Graph:
        """The integer graph, of the batch that judges."""
        return self.plan.integer_graph()

    @cached_property
    def opened(self) -> Opened:
        """The network for this machine, of the batch that judges."""
        return self.evaluator.opened(self.graph)

    @cached_property
    def outcomes(self) -> Outcomes:
        """The compiled network on the images."""
        return self.evaluator.outcomes(self.opened)

    @cached_property
    def deployed(self) -> Graph:
        """The integer graph of the batch that is timed."""
        return rebatch(self.graph, self.evaluator.timed_rows)

    @cached_property
    def program(self) -> Program:
        """The kernel calls of the network that is timed."""
        return self.evaluator.lowered(self.deployed, self.evaluator.target)

    @cached_property
    def timed(self) -> Compiled:
        """The network that is timed, for the target."""
        return self.evaluator.compiled(self.deployed, self.evaluator.target, self.program)

    @cached_property
    def reading(self) -> Reading:
        return self.evaluator.clock.predict(self.program, lambda: self.timed)

    @cached_property
    def weight_file_bytes(self) -> int:
        from lowbit.backend.weight_file import plan_weight_file

        return plan_weight_file(self.program).nbytes

    @cached_property
    def file_bytes(self) -> int:
        from lowbit.files import scratch_folder
        from lowbit.measure.size import bytes_on_disk

        with scratch_folder() as folder:
            return bytes_on_disk(self.timed.save(folder / "network.lowbit"))

    @cached_property
    def macs(self) -> int:
        return sum(entry.macs for entry in layer_statistics(self.deployed))

    @cached_property
    def bit_operations(self) -> int:
        bits = self.layer_bits
        return sum(entry.macs * math.prod(bits[entry.name]) for entry in layer_statistics(self.deployed))

    @cached_property
    def layer_bits(self) -> dict[str, tuple[int, int]]:
        """Layer -> bits of its weights and of its input, in order of execution."""
        types = self.graph.types
        found = {}
        for node in self.graph.nodes:
            if node.op in LAYERS:
                w, x = (types[node.inputs[i]].quant for i in (1, 0))
                found[node.name] = (32 if w is None else w.qtype.bits, 32 if x is None else x.qtype.bits)
        return found

    @property
    def layer_types(self) -> dict[str, list[str]]:
        """Layer -> types of its weights and of its input, as text."""
        return {entry.name: [entry.weights, entry.activations] for entry in layer_statistics(self.graph)}

    @cached_property
    def average_bits(self) -> tuple[float, float]:
        return average_bits(self.graph)

    @property
    def sum_of_bits(self) -> int:
        """Of the quantizers: of each layer's weights, and of each value that layers read, which counts once."""
        values = {node.inputs[0]: self.layer_bits[node.name][1] for node in self.graph.nodes if node.op in LAYERS}
        return sum(bits for bits, _ in self.layer_bits.values()) + sum(values.values())

    @property
    def peak_memory(self) -> int:
        program = self.program
        return program.arena_bytes + program.weight_bytes + len(program.constants) + program.scratch_bytes

    @cached_property
    def energy_uj(self) -> float:
        return network_energy_uj(self.deployed)
