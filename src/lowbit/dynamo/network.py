"""One captured graph for inputs of fixed shapes: its parts compiled by lowbit, and those that stay in torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, fx

from lowbit.compiler import compile
from lowbit.dynamo.options import Options
from lowbit.dynamo.segments import Segment, alone, cut, module_of, recorded, with_numbers
from lowbit.errors import LowbitError
from lowbit.graph import Graph, TensorType
from lowbit.graph.ops import LAYERS
from lowbit.progress import say
from lowbit.quantization.samples import batches
from lowbit.quantizer import calibrate
from lowbit.tracer import trace

__all__ = ["Network", "Rows", "build_network", "regrouped"]

Rows: TypeAlias = "tuple[tuple[Tensor, ...], int]"
"""Inputs, and how many of their rows are real: the others fill up a batch."""

_NAMED = 4


@dataclass(frozen=True)
class Step:
    """``run`` maps the values of the segment's ``reads`` to those of its ``gives``."""

    segment: Segment
    run: Callable[..., Sequence[Any]]
    compiled: bool


@dataclass(frozen=True)
class Network:
    """Called with the activations; gives what the graph gives.  ``inputs``, ``output``: nodes of it; ``stays``: operation ->
    why it stays in torch."""

    inputs: tuple[fx.Node, ...]
    steps: tuple[Step, ...]
    output: Any
    stays: Mapping[str, str]

    def __call__(self, *inputs: Tensor) -> Any:
        held = run_steps(dict(zip(self.inputs, inputs, strict=True)), self.steps)
        return fx.map_arg(self.output, lambda node: held[node])


def run_steps(
    held: dict[fx.Node, Any], steps: Sequence[Step], watch: Callable[[int, Sequence[Any]], None] | None = None
) -> dict[fx.Node, Any]:
    """The values of ``held`` and of what all steps give; ``watch`` is told what each reads."""
    with torch.no_grad():
        for index, step in enumerate(steps):
            reads = [held[each] for each in step.segment.reads]
            if watch is not None:
                watch(index, reads)
            held |= zip(step.segment.gives, step.run(*reads), strict=True)
    return held


def regrouped(samples: Iterable[Any], shapes: Sequence[tuple[int, ...]]) -> list[Rows]:
    """Samples as inputs of these shapes: rows are gathered to their batch, the last one is filled up by repeating rows.

    Raises CalibrationError for samples that do not fit."""
    names = tuple(f"input{i}" for i in range(len(shapes)))
    like = Graph("the captured graph", names, names, (), {n: TensorType(s) for n, s in zip(names, shapes, strict=True)}, {})
    rows = shapes[0][0] if shapes[0] else 1
    return [
        (tuple(map(torch.from_numpy, map(np.ascontiguousarray, values))), real) for values, real in batches(like, samples, rows)
    ]


def build_network(
    module: fx.GraphModule, inputs: Sequence[Tensor], samples: Sequence[Rows], options: Options, name: str
) -> Network:
    """Compile what can be; says in one line what stays in torch, and why.

    ``module``: of :func:`lowbit.dynamo.bake.bake`; ``inputs``: as it is called; ``samples``: inputs of the same shapes that
    calibrate it."""
    values, writes = recorded(module, inputs)
    with_numbers(module, values)
    stays, graphs = _staying(module, values)
    segments = cut(module, stays, values)
    if any(node in writes for segment in segments if not segment.taken for node in segment.nodes):
        stays = {n: "an operation that stays in torch writes to its operand" for s in segments for n in s.nodes} | stays
        segments = cut(module, stays, values)
    steps = _compiled(module, segments, graphs, samples, options, name)
    words = _words(module, steps, stays)
    if words:
        listed = "; ".join(f"{operation}: {why}" for operation, why in list(words.items())[:_NAMED])
        more = f"; and {len(words) - _NAMED} more" if len(words) > _NAMED else ""
        taken = sum(len(step.segment.nodes) for step in steps if step.compiled)
        total = sum(len(step.segment.nodes) for step in steps)
        say(f"lowbit: {name}: {total - taken} of {total} operations stay in torch: {listed}{more}", options.progress is not False)
    (output,) = (node for node in module.graph.nodes if node.op == "output")
    own = {node: values[node] for node in output.all_input_nodes if node.op == "get_attr"}
    result = fx.map_arg(output.args[0], lambda node: own.get(node, node))
    return Network(_placeholders(module), tuple(steps), result, words)


def _placeholders(module: fx.GraphModule) -> tuple[fx.Node, ...]:
    return tuple(node for node in module.graph.nodes if node.op == "placeholder")


def _staying(module: fx.GraphModule, values: dict[fx.Node, Any]) -> tuple[dict[fx.Node, str], dict[Segment, Graph]]:
    """(operations that lowbit does not take, and why; the graphs of the segments that it takes).  First all are tried together,
    then what fails is tried one by one, and what then still fails is left out as a whole."""
    stays: dict[fx.Node, str] = {}
    graphs: dict[Segment, Graph] = {}
    for one_by_one in (True, False, False):
        tried = {s: _tried(module, s, values) for s in cut(module, stays, values) if s.taken and s not in graphs}
        graphs |= {segment: found for segment, found in tried.items() if isinstance(found, Graph)}
        for segment, why in tried.items():
            if isinstance(why, str):
                stays |= (one_by_one and _alone(module, segment, values)) or dict.fromkeys(segment.nodes, why)
    return stays, graphs


def _tried(module: fx.GraphModule, segment: Segment, values: dict[fx.Node, Any], layers: bool = True) -> Graph | str:
    """The graph of a segment, or why lowbit does not take it.  ``layers``: whether one must be in it."""
    part, reads = module_of(module, segment), [values[each] for each in segment.reads]
    if not reads or not segment.gives:
        return "it reads no activation" if not reads else "nothing reads what it gives"
    given = [value.clone() for value in reads]
    with torch.no_grad():
        part(*given)
    if any(not torch.equal(a, b) for a, b in zip(given, reads, strict=True)):
        return "it changes a tensor that it is given"
    try:
        graph = trace(part, tuple(value.contiguous() for value in reads), "part")
    except LowbitError as error:
        return str(error).splitlines()[0].partition("; supported are")[0]
    if layers and not any(node.op in LAYERS for node in graph.nodes):
        return "no convolution or linear layer is near it"
    return graph


def _alone(module: fx.GraphModule, segment: Segment, values: dict[fx.Node, Any]) -> dict[fx.Node, str]:
    """The operations of a segment that cannot be compiled on their own."""
    found: dict[fx.Node, str] = {}
    known: dict[tuple[str, ...], Graph | str] = {}
    for node in segment.nodes:
        one = alone(node)
        if not one.reads or not all(isinstance(values[each], Tensor) for each in one.reads):
            continue  # of constants alone, or an item of several results
        key = (node.op, str(node.target), str(fx.map_arg((node.args, node.kwargs), lambda each: _shape(values.get(each)))))
        if key not in known:
            known[key] = _tried(module, one, values, False)
        if isinstance(why := known[key], str):
            found[node] = why
    return found


def _shape(value: Any) -> str:
    return f"{value.dtype}{tuple(value.shape)}" if isinstance(value, Tensor) else str(type(value))


def _compiled(
    module: fx.GraphModule,
    segments: Sequence[Segment],
    graphs: Mapping[Segment, Graph],
    samples: Sequence[Rows],
    options: Options,
    name: str,
) -> list[Step]:
    parts = [module_of(module, segment) for segment in segments]
    steps = [Step(segment, part, False) for segment, part in zip(segments, parts, strict=True)]
    seen: dict[int, list[tuple[Tensor, ...]]] = {i: [] for i, segment in enumerate(segments) if segment.taken}
    if options.config is not None:
        for sample, real in samples:

            def keep(index: int, given: Sequence[Tensor], real: int = real, rows: int = len(sample[0])) -> None:
                if index in seen:
                    seen[index].append(tuple((v[:real] if v.ndim and len(v) == rows else v).clone() for v in given))

            run_steps(dict(zip(_placeholders(module), sample, strict=True)), steps, keep)
    for index, calibration in seen.items():
        segment = segments[index]
        label = name if len(seen) == 1 else f"{name}_{index}"
        graph = replace(graphs[segment], name=label)
        arguments = {**options.compile, "progress": options.progress}
        if options.config is not None:
            arguments |= {"config": options.config, "calibration": calibrate(graph, None, calibration, progress=options.progress)}
        steps[index] = Step(segment, _called(compile(graph, name=label, **arguments)), True)
    return steps


def _called(network: Any) -> Callable[..., Sequence[Any]]:
    def run(*values: Tensor) -> Sequence[Any]:
        outputs: Sequence[Any] = network.outputs(*(value.detach().contiguous() for value in values))
        return outputs

    return run


def _words(module: fx.GraphModule, steps: Sequence[Step], stays: dict[fx.Node, str]) -> dict[str, str]:
    """Operation -> why it stays in torch, in the order of the program."""
    found: dict[str, str] = {}
    for step in steps:
        for node in () if step.compiled else step.segment.nodes:
            target = node.target
            if node.op == "call_module":
                target = module.get_submodule(str(node.target)).function
            word = target if isinstance(target, str) else getattr(target, "__name__", str(target))
            found.setdefault(word, stays.get(node, "it hands on what is not a float32 tensor"))
    return found
