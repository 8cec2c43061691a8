"""What the compiler made -> a network that runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from lowbit.backend.manifest import make_manifest
from lowbit.graph import Graph
from lowbit.graph.printer import print_graph
from lowbit.kernels.spec import KernelSpec
from lowbit.lowering import Program
from lowbit.runtime.compiled import Compiled
from lowbit.runtime.graph_store import encode_graph
from lowbit.runtime.program_store import encode_program
from lowbit.targets import Target

__all__ = ["assemble"]


def assemble(
    graph: Graph,
    program: Program,
    kernel_objects: Mapping[KernelSpec, bytes],
    linked: Mapping[str, bytes],
    target: Target,
    threads: int | None = None,
    seconds: Mapping[str, float] | None = None,
    traced: Graph | None = None,
    noise: Mapping[str, Any] | None = None,
    device: int | None = None,
) -> Compiled:
    """Gather the sections of an artifact and open it.

    ``linked``: the sections that the target's backend made; ``seconds``: compile time by step; ``traced``: the
    float graph that ``graph`` was quantized from, kept as text; ``noise``: measure.noise.Noise as JSON; ``device``: of a
    GPU.
    Raises as Compiled does.
    """
    manifest = make_manifest(program, target, kernel_objects)
    if noise is not None:
        manifest["noise"] = noise
    if graph.structure is not None:
        manifest["structure"] = graph.structure.tree
    manifest = json.loads(json.dumps(manifest))  # tuples become lists, as in a network that is loaded
    placed = {layer["name"]: layer["weights"] for layer in manifest["layers"] if layer["weights"]}
    sections = {
        "manifest.json": json.dumps(manifest).encode(),
        **linked,
        **encode_graph(graph, [(w.values, placed[w.layer]) for w in program.weights]),
        "graph.txt": print_graph(traced or graph).encode(),
        **encode_program(program),
    }
    network = Compiled(manifest, sections, threads, device)
    network.seconds = dict(seconds or {})
    network.structure = graph.structure  # with the classes that only this process knows
    return network
