"""A Program as C tables: what the runtime runs, and nothing else."""

from __future__ import annotations

import hashlib
import json
import re
import struct
from typing import Any

from lowbit.backend.address_tables import LAYER_TABLES, AddressTables, address_tables
from lowbit.backend.fields import FLOAT_TYPES
from lowbit.backend.runtime_object import RUNTIME_FOLDER
from lowbit.backend.weight_file import WeightFilePlan, WeightsPlace, plan_weight_file
from lowbit.kernels.layout import ELEMENT_BYTES
from lowbit.kernels.spec import KernelSpec
from lowbit.lowering.program import Call, Fill, Program, Ref, Weights
from lowbit.numerics import QType
from lowbit.targets import Target

__all__ = [
    "API",
    "c_addresses",
    "c_array",
    "c_fill",
    "c_layers",
    "c_long_text",
    "c_ref",
    "c_sizes",
    "c_text",
    "described_tensors",
    "driver_source",
    "identity",
    "info_text",
    "network_header",
    "prefix_of",
    "tensor_names",
]

# The functions of lowbit.h.
API = ("open", "open_memory", "open_part", "run", "profile", "set_threads", "threads", "close", "error", "info")

_ELEMENT_BYTES = {"bit": 0, "i8": 1, "i16": 2, "f16": 2, "f32": 4, "index": 3, "i4": 5, "bf16": 6, "i2": 7}


def prefix_of(name: str) -> str:
    """A C identifier for a network's name: ``ResNet-18 (int4)`` -> ``resnet_18_int4``."""
    prefix = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    reserved = prefix in ("", "lb", "lowbit") or prefix[0].isdigit()  # lb_* are the runtime's own names
    return f"network_{prefix}".rstrip("_") if reserved else prefix


def c_text(value: str) -> str:
    """A C string literal.  Non-ASCII characters become octal escapes of their UTF-8 bytes."""
    return '"' + "".join(chr(b) if 32 <= b < 127 and chr(b) not in '"\\?' else f"\\{b:03o}" for b in value.encode()) + '"'


def c_long_text(value: str) -> str:
    """Several literals that C joins: compilers limit the length of a single one."""
    return "\n    ".join(c_text(value[i : i + 200]) for i in range(0, len(value), 200)) or '""'


def c_ref(ref: Ref) -> str:
    """``struct lb_ref``."""
    return f"{{{ref.offset}u, LB_{ref.space.upper()}}}"


_ARGUMENTS = "const void *, const void *, const void *, const void *, const float *, const int32_t *, void *, int32_t, int32_t"


def _declarations(spec: KernelSpec, target: Target) -> str:
    symbol, memory = spec.symbol(target.name), ", void *" if spec.scratch_bytes else ""
    around = f"void {symbol}__begin(void *);\nvoid {symbol}__end(void *);\n" if spec.bracketed else ""
    return f"void {symbol}({_ARGUMENTS}{memory});\n{around}"


def _functions(spec: KernelSpec, target: Target) -> str:
    """kernel, asks of ``lb_op``."""
    symbol = spec.symbol(target.name)
    if not (spec.scratch_bytes or spec.bracketed):
        return f"{symbol}, 0"
    around = f"{symbol}__begin, {symbol}__end" if spec.bracketed else "0, 0"
    plain, with_memory = ("0", symbol) if spec.scratch_bytes else (symbol, "0")
    return f"{plain}, &(const struct lb_asking){{{with_memory}, {around}}}"


def c_fill(fill: Fill) -> str:
    """{offset, head, row, gap, tail, images, rows, element, value}, see tables.h."""
    at = fill.layout
    element = ELEMENT_BYTES[at.dtype]
    pixel = at.stride * element
    value = fill.value & (1 << 8 * element) - 1
    if fill.whole:
        return f"{{{fill.offset}u, {at.nbytes}u, 0, 0, 0, 1, 0, {element}, {value}u}}"
    head, row, gap = (at.top * at.wp + at.left) * pixel, at.w * pixel, (at.right + at.left) * pixel
    tail = (at.right + at.bottom * at.wp) * pixel
    return f"{{{fill.offset}u, {head}u, {row}u, {gap}u, {tail}u, {at.n}, {at.h}, {element}, {value}u}}"


def _field(weights: Weights) -> str:
    """{container, shift, flip, minus}: value = ((field << shift) ^ flip) - minus."""
    if weights.qtype in FLOAT_TYPES:  # bits, as they are
        return f"{{{weights.container}, 0, 0, 0}}"
    qtype = QType.parse(weights.qtype)
    if qtype.bipolar:
        return f"{{{weights.container}, 1, 0, 1}}"
    sign = 1 << weights.container - 1 if qtype.signed else 0
    return f"{{{weights.container}, 0, {sign}, {sign}}}"


def _weights(weights: Weights, place: WeightsPlace, tables: dict[str, int]) -> str:
    p = weights.packing
    runs, length, pad, group = p.runs, p.run_len, p.run_pad, p.k_group
    if p.scheme == "taps":  # panels of one block, one tap a step
        runs, length, pad, group = 1, p.runs * p.run_len, p.runs * p.run_len, 1
    scale = f"{p.group_size}, {p.channels or p.run_len}" if p.group_scale is not None else "0, 0"
    places = {name: f"ADDRESSES + {tables[name]}u" if name in tables else "0" for name in LAYER_TABLES}
    order = "" if p.shuffle is None else f", {len(p.shuffle)}, {places['shuffle']}"
    addresses = ", ".join(places[name] for name in ("window_start", "split", "offsets"))
    return (
        f"{{{place.source}u, {weights.offset}u, {_field(weights)}, {_ELEMENT_BYTES[p.element]}, {p.n}, {runs}, {length}, {pad}, "
        f"{p.nr}, {group}, {p.parts}, {p.groups}, {scale}, {p.bits}, {addresses}, {place.group_scale}u{order}}}"
    )


def c_sizes(program: Program, plan: WeightFilePlan) -> str:
    """The numbers of ``struct lb_tables``, without the identity."""
    p = program
    return (
        f"{len(p.calls)}, {len(p.weights)}, {len(p.input_shapes)}, {len(p.output_shapes)}, {p.arena_bytes}u, "
        f"{p.scratch_bytes}u, {p.weight_bytes}u, {len(p.constants)}u, {plan.nbytes}u, {plan.constants}u"
    )


def c_layers(program: Program, plan: WeightFilePlan, addresses: AddressTables) -> list[str]:
    """``struct lb_weights`` of every layer."""
    return list(map(_weights, program.weights, plan.layers, addresses.layers))


def identity(program: Program) -> int:
    """64 bits that tie a weight file to a library: a hash of all that both must agree on, which is
    everything but the values of weights and constants."""
    plan = plan_weight_file(program)
    addresses = address_tables(program)
    parts = [c_sizes(program, plan), hashlib.sha256(addresses.data).hexdigest(), *c_layers(program, plan, addresses)]
    for call in program.calls:
        parts += [call.spec.digest(), str(call.units), *map(c_ref, call.args), *map(c_fill, call.fills)]
    return int.from_bytes(hashlib.sha256("\n".join(parts).encode()).digest()[:8], "little")


def tensor_names(names: tuple[str, ...], shapes: tuple[tuple[int, ...], ...], kind: str) -> tuple[str, ...]:
    """``names``, or input0, input1, ... where there are none."""
    return names or tuple(f"{kind}{i}" for i in range(len(shapes)))


def described_tensors(program: Program) -> dict[str, list[dict[str, Any]]]:
    """``inputs`` and ``outputs``: name, shape, dtype of each tensor of the user's."""

    def tensors(
        names: tuple[str, ...], shapes: tuple[tuple[int, ...], ...], types: tuple[str, ...], kind: str
    ) -> list[dict[str, Any]]:
        rows = zip(tensor_names(names, shapes, kind), shapes, types, strict=True)
        return [{"name": name, "shape": list(shape), "dtype": dtype} for name, shape, dtype in rows]

    floats = ("float32",) * len(program.input_shapes)
    return {
        "inputs": tensors(program.input_names, program.input_shapes, floats, "input"),
        "outputs": tensors(program.output_names, program.output_shapes, program.types_of_outputs, "output"),
    }


def _operation(call: Call, target: Target) -> dict[str, object]:
    """``tuned`` only where there is something to tune."""
    tuned = {} if call.tuned is None else {"tuned": call.tuned}
    return {"layer": call.layer, "kernel": call.spec.symbol(target.name), "macs": call.macs, **tuned}


def info_text(program: Program, target: Target) -> str:
    """What ``<prefix>_info()`` of the library says: JSON of its tensors, operations and sizes."""
    return json.dumps(
        {
            "name": program.name,
            "target": target.name,
            "features": sorted(target.features),
            **described_tensors(program),
            "operations": [_operation(call, target) for call in program.calls],
            "arena_bytes": program.arena_bytes,
            "weight_bytes": program.weight_bytes + len(program.constants),
        },
        separators=(",", ":"),
    )


def c_array(kind: str, name: str, rows: list[str]) -> str:
    """A table; a zero row stands in where there would be none, which C does not allow."""
    body = ",\n    ".join(rows or ["{0}"])
    return f"static const {kind} {name}[] = {{\n    {body},\n}};\n"


def c_addresses(data: bytes) -> str:
    """The bytes as little-endian words; one zero stands in where there are none."""
    words = [f"{word:#x}" for (word,) in struct.iter_unpack("<I", data)] or ["0"]
    body = ",\n    ".join(",".join(words[i : i + 16]) for i in range(0, len(words), 16))
    return f"static const uint32_t addresses[] __attribute__((aligned(64))) = {{\n    {body},\n}};\n"


def driver_source(program: Program, target: Target, prefix: str) -> str:
    """The C source with the tables of ``program`` and its API under ``prefix``."""
    plan, addresses = plan_weight_file(program), address_tables(program)
    fills = [c_fill(fill) for call in program.calls for fill in call.fills]
    operations, first = [], 0
    for call in program.calls:
        refs = ", ".join(map(c_ref, call.args))
        operations.append(f"{{{_functions(call.spec, target)}, {{{refs}}}, {call.units}, {first}, {len(call.fills)}}}")
        first += len(call.fills)
    declarations = "".join(_declarations(spec, target) for spec in program.specs)
    return f"""/* Generated: the network {prefix}. */
#include "tables.h"

{declarations}
{c_array("struct lb_fill", "fills", fills)}
{c_array("struct lb_op", "operations", operations)}
{c_addresses(addresses.data)}
#define ADDRESSES (const uint8_t *)addresses
{c_array("struct lb_weights", "weights", c_layers(program, plan, addresses))}
{c_array("char *const", "features", [*map(c_text, sorted(target.features)), "0"])}
static const struct lb_tables network = {{
    {c_text(program.name)}, {c_text(target.name)},
    {c_long_text(info_text(program, target))},
    features, operations, fills, weights, ADDRESSES,
    {c_sizes(program, plan)}, {identity(program)}u,
}};

LB_API({prefix}, &network)
"""


def network_header(program: Program, prefix: str) -> str:
    """``lowbit.h`` under the network's prefix, with its shapes as macros."""
    upper = prefix.upper()
    lines = [f"#define {upper}_OPERATIONS {len(program.calls)}", f"#define {upper}_ARENA_BYTES {program.arena_bytes}"]
    floats = ("float32",) * len(program.input_shapes)
    for kind, names, shapes, types in (
        ("INPUT", program.input_names, program.input_shapes, floats),
        ("OUTPUT", program.output_names, program.output_shapes, program.types_of_outputs),
    ):
        lines.append(f"#define {upper}_{kind}S {len(shapes)}")
        for i, shape in enumerate(shapes):
            elements = 1
            for extent in shape:
                elements *= extent
            label = re.sub(r"[^\w. -]", "?", names[i]) if names else f"{kind.lower()}{i}"
            lines.append(
                f"#define {upper}_{kind}_{i}_ELEMENTS {elements} /* {types[i]} {label} [{', '.join(map(str, shape))}] */"
            )
    text = (RUNTIME_FOLDER / "lowbit.h").read_text()
    text = text.replace("/* lowbit: the C interface of one compiled network.", f"/* The network {prefix}, compiled by lowbit.", 1)
    text = re.sub(r" \* The header written beside.*?exported\.\n \*\n", "", text, flags=re.DOTALL)
    text = text.replace("lowbit_", f"{prefix}_").replace("LOWBIT_NETWORK_H", f"{upper}_H")
    marker = '#ifdef __cplusplus\nextern "C" {'
    return text.replace(marker, "\n".join(lines) + "\n\n" + marker, 1)
