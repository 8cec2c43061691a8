"""Are the bits real?  Checks of an artifact's claims against its bytes and its machine code.

Each check returns what it found wrong, in words; none found means the claim holds:

1. **size**: the weights of a layer with an n-bit container take ceil(values * n / 8) bytes, no more.
2. **container**: it is the one the graph asked for: the type's own width unless the configuration keeps
   narrow values in wider fields on purpose (``4/int8``).
3. **values**: the fields on disk, decoded in their whole width, lie in the claimed type.
4. **integer**: a layer with integer operands multiplies integers in its hot loop, and in float no more
   than requantization needs.
5. **code**: the kernel generated from the recorded spec is the kernel in the artifact (needs TVM).  Of a network for GPUs: its
   text is the one generated, and text, machine code and launch are those that were compiled, by the hash in the manifest.
6. **registers**, of kernels for GPUs: they take as many as a thread has, values that do not fit lie only in local memory that the
   kernel says it has, and no product of floats is fused with an addition where the operands are integers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np

from lowbit.backend.cuda.library import cuda_parts
from lowbit.backend.cuda.object import CudaObject
from lowbit.backend.fields import FLOAT_TYPES
from lowbit.graph.ops import LAYERS
from lowbit.numerics import QType, packed_size, unpack_bits
from lowbit.reporting.gpu_code import has_nvdisasm, resources_of
from lowbit.reporting.instructions import loop_work
from lowbit.reporting.kernel_texts import can_generate, gpu_text, object_sha256
from lowbit.reporting.layers import LayerReport, StoredWeights, layer_reports

if TYPE_CHECKING:
    from lowbit.runtime.compiled import Compiled

__all__ = ["CHECKS", "Finding", "checks_of", "verify"]


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
    return [finding for check in checks_of(compiled).values() for finding in check(compiled, reports)]


def _size(compiled: Compiled, reports: list[LayerReport]) -> Iterator[Finding]:
    for r, w in _stored(reports):
        allowed = packed_size(w.values, w.container)
        if w.bytes > allowed:
            yield Finding(r.name, "size", f"{w.values} weights of {w.container} bits take {w.bytes} bytes, not {allowed}")
    held, claimed = len(compiled.section("weights.bin")), max((w.offset + w.bytes for _, w in _stored(reports)), default=0)
    if claimed > held:
        yield Finding("weights.bin", "size", f"layers claim weights up to byte {claimed}, the file has {held}")


def _container(compiled: Compiled, reports: list[LayerReport]) -> Iterator[Finding]:
    graph = compiled.graph()
    constants = {node.name: node.inputs[1] for node in graph.nodes if node.op in LAYERS}
    for r, w in _stored(reports):
        if r.name not in constants:
            yield Finding(r.name, "container", "the graph has no such layer")
            continue
        params = graph.types[constants[r.name]].quant
        asked, claimed = _FLOATS[graph.real] if params is None else (params.container, str(params.qtype))
        if w.container != asked:
            yield Finding(r.name, "container", f"weights lie in {w.container} bits, the graph asks for {asked}")
        if not r.weight == w.qtype == claimed:
            text = f"the kernel takes {r.weight} weights, {w.qtype} are stored, the graph has {claimed}"
            yield Finding(r.name, "container", text)


def _values(compiled: Compiled, reports: list[LayerReport]) -> Iterator[Finding]:
    data = np.frombuffer(compiled.section("weights.bin"), np.uint8)
    for r, w in _stored(reports):
        if w.qtype in FLOAT_TYPES:
            continue
        qtype, field = QType.parse(w.qtype), data[w.offset : w.offset + w.bytes]
        if len(field) < packed_size(w.values, w.container):
            yield Finding(r.name, "values", f"{len(field)} bytes cannot hold {w.values} weights of {w.container} bits")
            continue
        got = _decode(field, w.values, qtype, w.container)
        if got.min() < qtype.qmin or got.max() > qtype.qmax:
            yield Finding(r.name, "values", f"{got.min()}..{got.max()} on disk do not fit {qtype}")


def _decode(field: np.ndarray, count: int, qtype: QType, container: int) -> np.ndarray:
    """Whole fields of ``container`` bits -> integers, whatever the narrower ``qtype`` in them allows."""
    if qtype.bipolar:
        return 2 * unpack_bits(field, count, QType(container, False)).astype(np.int32) - 1
    return unpack_bits(field, count, QType(container, qtype.signed)).astype(np.int32)


def _stored(reports: list[LayerReport]) -> Iterator[tuple[LayerReport, StoredWeights]]:
    return ((r, r.weights) for r in reports if r.weights is not None)


def _integer(compiled: Compiled, reports: list[LayerReport]) -> Iterator[Finding]:
    """Requantization converts each sum to float, multiplies it (a residual too, twice) and converts it
    back, so a kernel has at most twice as many float multiplications as conversions.  What converts its
    operands and then multiplies them in float has no integer multiplications; only 1-bit weights can
    do without any."""
    for r in reports:
        if r.act in FLOAT_TYPES or not r.macs:
            continue
        if r.function is None:
            yield Finding(r.name, "integer", f"the library has no code for kernel {r.symbol}")
            continue
        if not r.work.integer_multiplies and QType.parse(r.weight).bits > 1:
            yield Finding(r.name, "integer", f"{r.types} without an integer multiplication in the hot loop: {r.work}")
        for place, work in (("the hot loop", r.work), ("all", loop_work(r.function.instructions))):
            if work.float_multiplies > 2 * work.conversions:
                count = f"{work.float_multiplies} float multiplications for {work.conversions} conversions"
                yield Finding(r.name, "integer", f"{r.types} with {count} in {place}")
                break


def _code(compiled: Compiled, reports: list[LayerReport]) -> Iterator[Finding]:
    if not can_generate():
        return
    if compiled.target.arch:
        yield from _gpu_code(compiled, reports)
        return
    for spec, r in {r.spec: r for r in reports}.items():
        if object_sha256(spec, compiled.target) != r.object_sha256:
            yield Finding(r.name, "code", f"{r.symbol} generated again differs from the kernel that was linked")


def _gpu_code(compiled: Compiled, reports: list[LayerReport]) -> Iterator[Finding]:
    parts = cuda_parts(compiled.section("library.so"))
    version = str(compiled.manifest["created_with"].get("nvrtc", ""))
    for spec, r in {r.spec: r for r in reports}.items():
        again, part = gpu_text(spec, compiled.target), parts.get(r.symbol)
        if part is None:
            yield Finding(r.name, "code", f"the library has no kernel {r.symbol}")
            continue
        if again.text != part.text:
            yield Finding(r.name, "code", f"the text of {r.symbol} printed again differs from the one in the library")
        own = CudaObject(r.symbol, compiled.target.arch, version, again.launch, part.text, part.cubin, part.ptx)
        if sha256(own.to_bytes()).hexdigest() != r.object_sha256:
            yield Finding(r.name, "code", f"the machine code of {r.symbol} in the library is not what was compiled")


def _registers(compiled: Compiled, reports: list[LayerReport]) -> Iterator[Finding]:
    if not compiled.target.arch:
        return
    parts = cuda_parts(compiled.section("library.so"))
    for r in {r.spec: r for r in reports}.values():
        if r.symbol not in parts:
            continue
        found = resources_of(parts[r.symbol].cubin)
        if not 0 < found.registers <= _MOST_REGISTERS:
            text = f"{r.symbol} takes {found.registers} registers; a thread has 1 to {_MOST_REGISTERS}"
            yield Finding(r.name, "registers", text)
        instructions = r.function.instructions if r.function else ()
        fused = sum(i.mnemonic.startswith("FFMA") for i in instructions)
        if r.macs and r.act not in FLOAT_TYPES and fused:
            yield Finding(r.name, "registers", f"{r.symbol} has {fused} fused multiply-adds of floats")
        if any(i.on_stack for i in instructions) and not found.local_bytes:
            yield Finding(r.name, "registers", f"{r.symbol} keeps values in local memory that it says it does not have")


_MOST_REGISTERS = 255
_FLOATS = {"float32": (32, "f32"), "float16": (16, "f16")}  # Graph.real -> bits and type of weights

# check -> function(compiled, reports): findings
CHECKS: dict[str, Callable[[Compiled, list[LayerReport]], Iterator[Finding]]] = {
    "size": _size,
    "container": _container,
    "values": _values,
    "integer": _integer,
    "code": _code,
}
_GPU_CHECKS = {**CHECKS, "registers": _registers}


def checks_of(compiled: Compiled) -> dict[str, Callable[[Compiled, list[LayerReport]], Iterator[Finding]]]:
    """Those that apply to the network; what looks at instructions of GPUs needs nvdisasm."""
    if not compiled.target.arch:
        return CHECKS
    return _GPU_CHECKS if has_nvdisasm() else {name: check for name, check in _GPU_CHECKS.items() if name != "integer"}
