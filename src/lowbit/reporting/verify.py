"""Are the bits real?  Checks of an artifact's claims against its bytes and its machine code.

Each check returns what it found wrong, in words; none found means the claim holds:

1. **size**: the weights of a layer with an n-bit container take ceil(values * n / 8) bytes, no more.
2. **container**: it is the one the graph asked for: the type's own width unless the configuration keeps
   narrow values in wider fields on purpose (``4/int8``).
3. **values**: the fields on disk, decoded, lie in the claimed type and are the graph's constants.
4. **integer**: a layer with integer operands multiplies integers in its hot loop, and in float at most
   what requantization needs.
5. **code**: the kernel generated from the recorded spec is the kernel in the artifact (needs TVM).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lowbit.graph import Graph
from lowbit.numerics import QType, packed_size, unpack_bits
from lowbit.reporting.kernel_texts import can_generate, object_sha256
from lowbit.reporting.layers import LayerReport, layer_reports
from lowbit.targets import find_target

if TYPE_CHECKING:
    from lowbit.runtime.compiled import Compiled

__all__ = ["CHECKS", "Finding", "verify"]


@dataclass(frozen=True)
class Finding:
    """One claim that does not hold."""

    layer: str
    check: str
    text: str

    def __str__(self) -> str:
        return f"{self.layer}: {self.check}: {self.text}"


def verify(compiled: Compiled) -> list[Finding]:
    """All findings, layer by layer in order of execution.  Raises ToolMissing without objdump."""
    reports = layer_reports(compiled)
    return [finding for check in CHECKS.values() for finding in check(compiled, reports)]


def _size(compiled: Compiled, reports: list[LayerReport]) -> Iterator[Finding]:
    for r in reports:
        allowed = packed_size(r.weight_values, r.container)
        if r.weight_bytes > allowed:
            yield Finding(r.name, "size", f"{r.weight_values} weights of {r.container} bits take {r.weight_bytes} bytes, not {allowed}")
    stored, held = sum(r.weight_bytes for r in reports), len(compiled.section("weights.bin"))
    if stored > held:
        yield Finding("weights.bin", "size", f"layers claim {stored} bytes of weights, the file has {held}")


def _container(compiled: Compiled, reports: list[LayerReport]) -> Iterator[Finding]:
    graph = compiled.graph()
    for r, weight in _weighted(graph, reports):
        params = graph.types[weight].quant
        asked, claimed = (32, "f32") if params is None else (params.container, str(params.qtype))
        if r.container != asked:
            yield Finding(r.name, "container", f"weights lie in {r.container} bits, the graph asks for {asked}")
        if r.weight != claimed:
            yield Finding(r.name, "container", f"the manifest says {r.weight} weights, the graph {claimed}")


def _values(compiled: Compiled, reports: list[LayerReport]) -> Iterator[Finding]:
    graph = compiled.graph()
    data = np.frombuffer(compiled.section("weights.bin"), np.uint8)
    for r, weight in _weighted(graph, reports):
        params = graph.types[weight].quant
        field = data[r.weight_offset : r.weight_offset + r.weight_bytes]
        if params is None:
            continue
        got = _decode(field, r.weight_values, params.qtype, r.container)
        if got.size and (got.min() < params.qtype.qmin or got.max() > params.qtype.qmax):
            yield Finding(r.name, "values", f"{got.min()}..{got.max()} on disk do not fit {params.qtype}")
        want = graph.constants[weight]
        if not np.array_equal(got, np.moveaxis(want, 1, -1).reshape(-1)):
            yield Finding(r.name, "values", "the weights on disk are not the graph's")


def _decode(field: np.ndarray, count: int, qtype: QType, container: int) -> np.ndarray:
    """Fields of ``container`` bits, sign-extended values of ``qtype`` in their low end -> integers."""
    if qtype.bipolar:
        return 2 * unpack_bits(field, count, QType(container, False)).astype(np.int32) - 1
    if container == 1:
        return unpack_bits(field, count, qtype).astype(np.int32)
    return unpack_bits(field, count, QType(container, qtype.signed)).astype(np.int32)


def _weighted(graph: Graph, reports: list[LayerReport]) -> Iterator[tuple[LayerReport, str]]:
    """Reports of layers with weights, and the name of the graph's constant."""
    layers = {node.name: node.inputs[1] for node in graph.nodes if node.op in ("conv2d", "linear")}
    for report in reports:
        if report.weight_values and report.name in layers:
            yield report, layers[report.name]


def _integer(compiled: Compiled, reports: list[LayerReport]) -> Iterator[Finding]:
    """Requantization is one float multiplication (two with a residual) for each conversion, so a hot
    loop that includes its epilogue has at most twice as many multiplications as conversions.  It never
    fuses a multiplication with an addition.  1-bit weights can do without multiplications."""
    for r in reports:
        if r.act == "f32" or not r.macs:
            continue
        work = r.work
        if not r.loop:
            yield Finding(r.name, "integer", f"the library has no code for kernel {r.symbol}")
        elif not work.integer_multiplies and QType.parse(r.weight).bits > 1:
            yield Finding(r.name, "integer", f"{r.act} x {r.weight}, and the hot loop has no integer multiplication: {work}")
        elif work.fused or work.float_multiplies > 2 * work.to_integer:
            yield Finding(r.name, "integer", f"{r.act} x {r.weight}, and the hot loop has {work.float_multiplies} float multiplications")


def _code(compiled: Compiled, reports: list[LayerReport]) -> Iterator[Finding]:
    if not can_generate():
        return
    target = find_target(compiled.manifest["target"])
    for spec, r in {r.spec: r for r in reports}.items():
        if object_sha256(spec, target) != r.object_sha256:
            yield Finding(r.name, "code", f"{r.symbol} generated again differs from the kernel that was linked")


# check -> function(compiled, reports): findings
CHECKS: dict[str, Callable[[Compiled, list[LayerReport]], Iterator[Finding]]] = {
    "size": _size,
    "container": _container,
    "values": _values,
    "integer": _integer,
    "code": _code,
}
