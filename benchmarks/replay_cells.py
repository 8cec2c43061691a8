"""What lowbit makes of one network, configuration and target, as digests: the rows of :mod:`benchmarks.replay`.

This file knows lowbit's inner functions, so a restructuring that moves them changes it; the rows stay what they are.
Nothing in a row comes from the name of a field, a class or a module.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass, field
from typing import Any

from benchmarks.exact_networks import exact_calibration, exact_graph

from lowbit.backend.build import weights_file
from lowbit.backend.codegen import prim_func
from lowbit.backend.driver import driver_source, identity
from lowbit.backend.weight_file import HEADER_BYTES, plan_weight_file
from lowbit.graph import Graph
from lowbit.kernels.spec import KernelSpec
from lowbit.lowering import Program, lower, print_program
from lowbit.lowering.program import Call
from lowbit.quantization import parse_config, quantize_graph
from lowbit.targets import TARGETS, Target
from lowbit.tuning.defaults import read_defaults
from lowbit.tuning.lookup import make_lookup

__all__ = ["DECIDERS", "Kernels", "cell_key", "cell_of", "cells_of", "own_cache", "tensorir"]

DECIDERS = ("model", "shipped")
"""Who decides how convolutions are computed: the cost model, or the decisions that come with lowbit where they know better."""

_THREADS = 2  # that shipped decisions are asked for
_SYMBOL = re.compile(r"[a-z]\w*__\w+")  # also behind \042, a quotation mark within a C string
_SPLIT_LITERAL = '"\n    "'  # long C strings are several literals


def cell_key(network: str, config: str, target: str, decider: str) -> str:
    return f"{network} {config} {target} {decider}"


def digest(*parts: object) -> str:
    """64 bits of the parts' text or bytes."""
    whole = hashlib.sha256()
    for part in parts:
        whole.update(part if isinstance(part, bytes) else repr(part).encode())
        whole.update(b"\0")
    return whole.hexdigest()[:16]


@contextmanager
def own_cache() -> Iterator[None]:
    """An empty folder in place of the user's cache, with what was tuned there."""
    before = os.environ.get("LOWBIT_CACHE")
    with tempfile.TemporaryDirectory(prefix="lowbit-replay-") as folder:
        os.environ["LOWBIT_CACHE"] = folder
        try:
            yield
        finally:
            del os.environ["LOWBIT_CACHE"]
            if before is not None:
                os.environ["LOWBIT_CACHE"] = before


def tensorir(spec: KernelSpec, target: Target) -> str:
    """A kernel as TVMScript under the name ``kernel``: its symbol holds a digest of the spec."""
    text = str(prim_func(spec, target).script(show_meta=False))
    return text.replace(spec.symbol(target.name), "kernel")


@dataclass(frozen=True, eq=False)
class Kernels:
    """Digests of TensorIR, each made once."""

    _known: dict[tuple[KernelSpec, str], str] = field(default_factory=dict)

    def digest(self, spec: KernelSpec, target: Target) -> str:
        key = spec, target.name
        if key not in self._known:
            self._known[key] = digest(tensorir(spec, target))
        return self._known[key]


def _call(call: Call) -> str:
    """Pointers, units and fills of a call: values in their order, without the names of fields."""
    args = [(ref.space, ref.offset) for ref in call.args]
    return digest(call.units, call.macs, call.tuned, args, [astuple(fill) for fill in call.fills])


def _tables(program: Program, target: Target) -> str:
    """The C source of the network with its kernels numbered in the order of their use: all that the runtime is told,
    how it unpacks weights included."""
    text = driver_source(program, target, "network").replace(_SPLIT_LITERAL, "")
    text = text.replace(f"{identity(program)}u", "identity")  # of the specs' digests
    names = {spec.symbol(target.name): f"kernel{index}" for index, spec in enumerate(program.specs)}
    return digest(_SYMBOL.sub(lambda match: names.get(match[0], match[0]), text))


def _weights(program: Program) -> tuple[str, list[list[str]]]:
    """Digests of the weight file without its header, and of each layer's part of it."""
    data, plan = weights_file(program), plan_weight_file(program)
    layers = []
    for weights, place in zip(program.weights, plan.layers, strict=True):
        scale = weights.packing.group_scale
        scales = b"" if scale is None else data[place.group_scale : place.group_scale + scale.nbytes]
        packed = data[place.source : place.source + place.nbytes]
        layers.append([weights.layer, digest(weights.qtype, weights.container, weights.offset, packed, scales)])
    return digest(data[HEADER_BYTES:]), layers


def cell_of(program: Program, target: Target, kernels: Kernels) -> dict[str, Any]:
    """``calls``: [layer, readable name of the kernel, digest of its TensorIR, digest of its arguments] in their order;
    ``layers``: [layer, digest of its weights on disk]; and digests of the weight file, of the program as text, and of the
    network's C tables."""
    weights, layers = _weights(program)
    return {
        "calls": [[c.layer, c.spec.label, kernels.digest(c.spec, target), _call(c)] for c in program.calls],
        "layers": layers,
        "weights": weights,
        "program": digest(print_program(program)),
        "tables": _tables(program, target),
    }


def lowered(graph: Graph, target: Target, decider: str) -> Program:
    """The program; call it within :func:`own_cache`, or the user's own decisions come first."""
    return lower(graph, target, make_lookup(target, _THREADS) if decider == "shipped" else None)


def integer_graphs(network: str, configs: Iterable[str]) -> Iterator[tuple[str, Graph]]:
    """(configuration, graph), all of one trace and one calibration."""
    graph = exact_graph(network)
    seen = exact_calibration(graph)
    for config in configs:
        chosen = parse_config(config)
        yield config, graph if chosen is None else quantize_graph(graph, seen, chosen)


def cells_of(
    network: str, configs: Iterable[str], targets: Iterable[str], say: Callable[[str], None] = lambda _: None
) -> dict[str, dict[str, Any]]:
    """The cells of a network.  A target without shipped decisions has those of the model only."""
    kernels, cells = Kernels(), {}
    with own_cache():
        for config, graph in integer_graphs(network, configs):
            for target in (TARGETS[name] for name in targets):
                for decider in DECIDERS if read_defaults(target) else DECIDERS[:1]:
                    program = lowered(graph, target, decider)
                    cells[cell_key(network, config, target.name, decider)] = cell_of(program, target, kernels)
            say(f"{network} {config}")
    return cells
