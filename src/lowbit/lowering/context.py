"""What the handlers of one lowering share: layouts, the calls so far, constants, weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from lowbit.errors import UnsupportedOperation
from lowbit.graph import Graph, Node, TensorType
from lowbit.kernels.conv2d.selection.decide import Decider, Decisions, decide
from lowbit.kernels.layout import Layout
from lowbit.kernels.spec import KernelSpec
from lowbit.lowering.choose_layout import choose_layouts
from lowbit.lowering.constants import ConstantPool, align
from lowbit.lowering.plan_memory import plan_memory, with_own_memory
from lowbit.lowering.program import NULL, Buffer, Call, Fill, Packing, Program, Ref, Weights
from lowbit.lowering.stored import Stored, stored_form
from lowbit.numerics.float_products import FLOAT32, FloatProducts
from lowbit.targets import Target

__all__ = ["Lowering"]


class Lowering:
    """Emits calls whose arguments name buffers; :meth:`finish` replaces the names by offsets."""

    def __init__(
        self,
        graph: Graph,
        target: Target,
        decisions: Decisions | None = None,
        decider: Decider = decide,
        floats: FloatProducts = FLOAT32,
    ) -> None:
        self.graph = graph
        self.target = target
        self.decisions = decisions
        self.decider = decider
        self.floats = floats
        laid_out = choose_layouts(graph, 4 if target.machine == "cuda" else 1)  # GPUs load words
        self.layouts: dict[str, Layout] = {name: _addressable(name, held) for name, held in laid_out.items()}
        self.constants = ConstantPool()
        self.tables = ConstantPool("tables")
        self._alias: dict[str, str] = {}
        self._calls: list[tuple[Call, dict[int, str], str]] = []  # call, argument index -> buffer, written buffer
        self._weights: list[Weights] = []
        self._weight_bytes = 0
        self._filled: set[str] = set()

    def type(self, name: str) -> TensorType:
        return self.graph.types[name]

    def stored(self, name: str) -> Stored:
        return stored_form(name, self.graph.types[name], self.graph.real)

    def alias(self, name: str, of: str) -> None:
        """``name`` is the memory of ``of`` under another shape."""
        self._alias[name] = of

    def storage(self, name: str) -> str:
        while name in self._alias:
            name = self._alias[name]
        return name

    def temporary(self, name: str, layout: Layout) -> str:
        """A buffer that is no value of the graph."""
        self.layouts[name] = _addressable(name, layout)
        return name

    def written(self, name: str) -> bool:
        """Whether some call writes this buffer already."""
        return name in self._filled

    def add_weights(self, layer: str, values: np.ndarray, qtype: str, container: int, packing: Packing) -> Ref:
        if packing.nbytes > _MOST_ELEMENTS:
            raise UnsupportedOperation(f"{layer}: {packing.nbytes} bytes of weights; kernels address {_MOST_ELEMENTS}")
        offset = self._weight_bytes
        self._weights.append(Weights(layer, values, qtype, container, packing, offset))
        self._weight_bytes += align(packing.nbytes + 64)
        return Ref("weights", offset)

    def emit(
        self,
        node: Node,
        spec: KernelSpec,
        *,
        x: str | Ref,
        o: str | Ref,
        r: str | Ref = NULL,
        w: str | Ref = NULL,
        b: Ref = NULL,
        s: Ref = NULL,
        t: Ref = NULL,
        macs: int = 0,
        extent: int = 0,
        fill: int | None = None,
        fill_whole: bool = False,
        tuned: bool | None = None,
    ) -> None:
        """Append a call.  ``x``, ``r``, ``w`` and ``o`` are buffer names or user tensors.

        ``fill``: the stored element that surrounds the output (its halo; the whole buffer with
        ``fill_whole``); done once per buffer, before its first writer.
        """
        named: dict[int, str] = {}
        refs: list[Ref] = []
        for index, arg in enumerate((x, r, w, b, s, t, o)):
            if isinstance(arg, str):
                named[index] = self.storage(arg)
                arg = Ref("arena")
            refs.append(arg)
        out = named.get(6, "")
        fills: tuple[Fill, ...] = ()
        if out and out not in self._filled:
            layout = self.layouts[out]
            if fill_whole or (fill is not None and layout.halo):
                fills = (Fill(0, layout, fill or 0, fill_whole),)
            self._filled.add(out)
        args = (refs[0], refs[1], refs[2], refs[3], refs[4], refs[5], refs[6])
        self._calls.append((Call(node.name, spec, args, fills, macs, extent, tuned), named, out))

    def finish(self) -> Program:
        """Plan the arena and resolve buffer names."""
        first: dict[str, int] = {}
        last: dict[str, int] = {}
        for index, (_, named, _) in enumerate(self._calls):
            for name in named.values():
                first.setdefault(name, index)
                last[name] = index
        planned = [Buffer(n, self.layouts[n], first[n], last[n]) for n in first]
        if self.target.arch:  # a GPU's memory is large, and each launch takes time
            planned = with_own_memory(planned, {out for call, _, out in self._calls if call.fills})
        buffers, arena = plan_memory(planned)
        offsets = {b.name: b.offset for b in buffers}
        graph = self.graph
        return Program(
            name=graph.name,
            calls=tuple(_resolve(call, named, out, offsets) for call, named, out in self._calls),
            buffers=buffers,
            weights=tuple(self._weights),
            constants=self.constants.bytes(),
            tables=self.tables.bytes(),
            arena_bytes=arena,
            weight_bytes=self._weight_bytes,
            input_shapes=tuple(graph.types[n].shape for n in graph.inputs),
            output_shapes=tuple(graph.types[n].shape for n in graph.outputs),
            input_names=graph.inputs,
            output_names=graph.outputs,
            output_types=tuple(graph.types[n].dtype for n in graph.outputs),
        )


_MOST_ELEMENTS = 2**31 - 2**16  # offsets are int32, and vectors may start behind the last element


def _addressable(name: str, layout: Layout) -> Layout:
    if layout.elements > _MOST_ELEMENTS:
        raise UnsupportedOperation(
            f"{name}: {layout.elements} elements in memory ({layout.n} x {layout.hp} x {layout.wp} pixels of {layout.stride} "
            f"channels), kernels address {_MOST_ELEMENTS}; use a smaller batch or a smaller input"
        )
    return layout


def _resolve(call: Call, named: dict[int, str], out: str, offsets: dict[str, int]) -> Call:
    args: Sequence[Ref] = [Ref("arena", offsets[named[i]]) if i in named else ref for i, ref in enumerate(call.args)]
    fills = tuple(replace(fill, offset=offsets[out]) for fill in call.fills)
    return replace(call, args=(args[0], args[1], args[2], args[3], args[4], args[5], args[6]), fills=fills)
