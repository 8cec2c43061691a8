"""A graph compiled: what it computes is what the interpreter computes, on every target, however its kernels are chosen."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

import lowbit
from lowbit.backend.build import weights_file
from lowbit.backend.cache import compile_kernels
from lowbit.backend.cpu import CPU
from lowbit.errors import GraphError, LowbitError
from lowbit.frontend import evaluate
from lowbit.graph import Graph, interpret
from lowbit.lowering import Program, lower
from lowbit.runtime.assemble import assemble
from lowbit.runtime.compiled import Compiled
from lowbit.targets import Target
from tests.fuzz.checks import Checked, Refused, allowances, close
from tests.fuzz.draws import Draws
from tests.fuzz.machines import RandomDecisions, emulated_targets, native_targets, run_executable

__all__ = ["Way", "check_compiled", "draw_way"]

_SUMS = 4  # float32 kernels round every step: times what rounding the constants may do


@dataclass(frozen=True)
class Way:
    """How a graph is compiled and run.  ``seed``: of random kernel choices, None = the cost model's; ``again``: saved and
    loaded; ``executable``: also as a static program."""

    target: Target
    seed: int | None
    threads: int
    again: bool
    executable: bool

    def __str__(self) -> str:
        kernels = "the cost model's kernels" if self.seed is None else f"kernels drawn with seed {self.seed}"
        extras = ", saved and loaded" * self.again + ", as an executable" * self.executable
        return f"# compiled for {self.target.name}, {kernels}, {self.threads} threads{extras}"


def draw_way(draws: Draws) -> Way:
    emulated = bool(emulated_targets()) and draws.chance(5)
    target = draws.choose(emulated_targets() if emulated else native_targets())
    seed = draws.integer(0, 999) if draws.chance(50) else None
    return Way(target, seed, draws.choose((1, 3)), draws.chance(25), emulated or draws.chance(3))


def check_compiled(graph: Graph, inputs: Sequence[np.ndarray], way: Way, checked: Checked, width: str) -> None:
    """Builds ``graph`` (integer, or canonical float32) and compares it with the interpreter on the inputs and on extreme ones."""
    target = way.target
    try:
        program = lower(graph, target, None if way.seed is None else RandomDecisions(way.seed, target))
    except GraphError:
        raise
    except LowbitError as error:
        checked.refuse(error)
        raise Refused from None
    kernels = compile_kernels(program.specs, target, jobs=1)
    weights = weights_file(program)
    _reach(graph, program, target, checked, width)
    if way.executable:
        _compare(graph, inputs, run_executable(program, kernels, weights, target, inputs), f"executable for {target.name}")
    if target not in native_targets():
        return
    network = assemble(graph, program, kernels, CPU.link(program, kernels, target), target, way.threads)
    if way.again:
        network = _saved_and_loaded(network, way.threads)
    try:
        extremes = [[x * np.float32(factor) for x in inputs] for factor in (1e3, -1e4)] if _is_integer(graph) else []
        for values in (inputs, inputs, *extremes):
            result = network(*values)
            _compare(graph, values, list(result) if isinstance(result, tuple) else [result], f"compiled for {target.name}")
    finally:
        network.close()


def _is_integer(graph: Graph) -> bool:
    return any(tensor.quant is not None for tensor in graph.types.values())


def _compare(graph: Graph, inputs: Sequence[np.ndarray], got: Sequence[np.ndarray], what: str) -> None:
    if _is_integer(graph):
        with np.errstate(all="ignore"):
            wanted = interpret(graph, inputs)
        assert len(got) == len(wanted)
        for index, (a, b) in enumerate(zip(got, wanted, strict=True)):
            assert a.shape == b.shape, f"{what}, output {index}: shape {a.shape} for {b.shape}"
            wrong = ~((a == b) | (np.isnan(a) & np.isnan(b)))
            assert not wrong.any(), f"{what}, output {index}: {int(wrong.sum())} of {wrong.size} differ from the interpreter"
        return
    tensors = [torch.from_numpy(x) for x in inputs]
    exact = evaluate(graph, tensors, dtype=torch.float64)
    allowed = [_SUMS * m + 1e-5 * float(e.abs().max()) for m, e in zip(allowances(graph, tensors, exact), exact, strict=True)]
    close([torch.from_numpy(np.asarray(a)) for a in got], exact, allowed, what)


def _saved_and_loaded(network: Compiled, threads: int) -> Compiled:
    with tempfile.TemporaryDirectory(prefix="lowbit-fuzz-") as folder:
        path = network.save(Path(folder) / "network.lowbit")
        network.close()
        return lowbit.load(path, threads=threads)


def _reach(graph: Graph, program: Program, target: Target, checked: Checked, width: str) -> None:
    """Rows of the table: each node with the kernels that compute it."""
    forms: dict[str, list[str]] = {}
    for call in program.calls:
        form = getattr(call.spec, "form", "") or getattr(call.spec, "fn", "")
        forms.setdefault(call.layer, []).append(f"{call.spec.kind}{':' if form else ''}{form}")
    for node in graph.nodes:
        rank = len(graph.types[node.inputs[0]].shape)
        for form in forms.get(node.name, ["no call"]):
            checked.coverage.reach("compiled", node.op, rank, target.name, form, width)
