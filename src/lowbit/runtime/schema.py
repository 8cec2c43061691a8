"""What the JSON of an artifact has to look like: one table for each section, checked before anything uses it.

A checksum says that a file is as it was written, not who wrote it.  Whatever a section holds, reading it ends in
values of these types or in ArtifactError.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from lowbit.errors import ArtifactError
from lowbit.numerics.qtype import WIDTHS
from lowbit.targets.table import EMULATED, TARGET_NAME, TECHNIQUES

__all__ = ["CONTAINER", "DTYPES", "GRAPH", "MANIFEST", "NAME", "QTYPE", "SHAPE", "SIZE", "Check"]

Check = Callable[[Any, str], None]
"""(value, where it is) -> nothing; raises ArtifactError."""

_LARGEST = 1 << 48  # of any count or size
_LONGEST = 1 << 16  # characters of a name or line


def _refuse(value: object, where: str, wanted: str) -> None:
    shown = repr(value)
    raise ArtifactError(f"{where} is {shown if len(shown) < 60 else shown[:57] + '...'}, must be {wanted}")


def integer(low: int, high: int = _LARGEST) -> Check:
    """low..high; True and 1.0 are none."""

    def check(value: Any, where: str) -> None:
        if type(value) is not int or not low <= value <= high:
            _refuse(value, where, f"a whole number from {low} to {high}")

    return check


def number(low: float, high: float) -> Check:
    """A float of low..high."""

    def check(value: Any, where: str) -> None:
        if type(value) is not float or not low <= value <= high:
            _refuse(value, where, f"a number from {low:g} to {high:g}")

    return check


def text(pattern: str = "", wanted: str = "text") -> Check:
    """Unicode text, all of which matches ``pattern``."""
    form = re.compile(pattern, re.DOTALL)

    def check(value: Any, where: str) -> None:
        if not isinstance(value, str) or len(value) > _LONGEST or (pattern and not form.fullmatch(value)):
            _refuse(value, where, wanted)
        try:
            value.encode()
        except UnicodeEncodeError:
            _refuse(value, where, "Unicode text")

    return check


def one_of(*allowed: object) -> Check:
    """One of these values, of their type."""

    def check(value: Any, where: str) -> None:
        if not any(value == each and type(value) is type(each) for each in allowed):
            _refuse(value, where, f"one of {', '.join(map(repr, allowed))}")

    return check


def optional(inner: Check) -> Check:
    """None, or what ``inner`` allows."""

    def check(value: Any, where: str) -> None:
        if value is not None:
            inner(value, where)

    return check


def list_of(inner: Check, most: int = 1 << 20) -> Check:
    """Up to ``most`` of what ``inner`` allows."""

    def check(value: Any, where: str) -> None:
        if not isinstance(value, list) or len(value) > most:
            _refuse(value, where, f"a list of at most {most}")
        for i, item in enumerate(value):
            inner(item, f"{where}[{i}]")

    return check


def mapping_of(inner: Check) -> Check:
    """Any names, each with what ``inner`` allows."""
    name = text()

    def check(value: Any, where: str) -> None:
        if not isinstance(value, dict):
            _refuse(value, where, "an object")
        for key, item in value.items():
            name(key, f"a name in {where}")
            inner(item, f"{where}.{key}")

    return check


def record(fields: dict[str, Check], more: dict[str, Check] | None = None) -> Check:
    """Exactly these names, and perhaps ``more``."""
    known = {**fields, **(more or {})}

    def check(value: Any, where: str) -> None:
        if not isinstance(value, dict):
            _refuse(value, where, "an object")
        missing, unknown = fields.keys() - value.keys(), value.keys() - known.keys()
        if missing or unknown:
            raise ArtifactError(f"{where}: names missing: {sorted(missing)}, unknown: {sorted(map(repr, unknown))}")
        for key, item in value.items():
            known[key](item, f"{where}.{key}")

    return check


def plain(value: Any, where: str) -> None:
    """An attribute: number, text, None, or lists of them, a few levels deep."""
    if isinstance(value, list) and where.count("[") < 8:
        for i, item in enumerate(value):
            plain(item, f"{where}[{i}]")
    elif isinstance(value, str):
        text()(value, where)
    elif type(value) is int:
        integer(-(1 << 63), (1 << 63) - 1)(value, where)
    elif not (value is None or isinstance(value, bool | float)):
        _refuse(value, where, "a number, text, null or a list of them")


def json_object(value: Any, where: str) -> None:
    """Any object: a spec, which is checked against its kernel when it is used."""
    if not isinstance(value, dict):
        _refuse(value, where, "an object")


_INTEGER = "[uib](" + "|".join(map(str, WIDTHS)) + ")|u[2-8]:[0-9]{1,3}"
SIZE = integer(0)
SHAPE = list_of(integer(1), 16)
NAME = text()
QTYPE = text(f"{_INTEGER}|f32|f16", "an integer type such as i4, or f32, f16")
CONTAINER = one_of(*WIDTHS, 32)
_TENSOR = record({"name": NAME, "shape": SHAPE, "dtype": one_of("float32", "int64")})

_WEIGHTS = {"qtype": QTYPE, "container": CONTAINER, "values": integer(1), "offset": SIZE}

_WORD = text(TARGET_NAME, "a word of letters, digits, '.', '_' and '-'")
_CPU = text(r"([A-Za-z0-9][\w.+-]*)?", "the name of a CPU")
_TARGET = record({
    **dict.fromkeys(("name", "triple"), _WORD), **dict.fromkeys(("mcpu", "march", "mca_cpu", "qemu_cpu"), _CPU),
    "features": list_of(_WORD, 1 << 10), "without": list_of(one_of(*TECHNIQUES), len(TECHNIQUES)),
    **dict.fromkeys(("vector_bytes", "registers", "l1_bytes", "l2_bytes"), integer(1)),
    **dict.fromkeys(("clock_hz", "cores", "memory_bytes"), SIZE),
}, {
    "costs": text(f"({TARGET_NAME})?", "the name of a file of costs"),
    "emulated": list_of(one_of(*EMULATED), len(EMULATED)),
})  # fmt: skip

_LAYER = record({
    "name": NAME, "op": NAME, "kernel": text(r"[A-Za-z_]\w*", "a C identifier"), "spec": json_object,
    "act": optional(QTYPE), "weight": optional(QTYPE),
    "weights": optional(record({**_WEIGHTS, "bytes": SIZE, "memory_bytes": SIZE})),
    "macs": SIZE, "tuned": optional(one_of(True, False)), "object_sha256": text(r"[0-9a-f]{64}", "64 hexadecimal digits"),
    "object_bytes": SIZE,
}, {"relative_error": number(0.0, 1.0)})  # fmt: skip

_DB = number(-200.0, 200.0)
_NOISE = record({
    "rows": integer(1), "outputs": mapping_of(_DB),
    "layers": list_of(record({"name": NAME, "op": NAME, "sqnr_db": _DB, "own_db": _DB, "causes": mapping_of(_DB)})),
})  # fmt: skip

MANIFEST: Check = record({
    "lowbit": NAME, "name": NAME, "prefix": text(r"[a-z][a-z0-9_]*", "a C identifier in small letters"),
    "target": _TARGET,
    "created_with": mapping_of(NAME), "inputs": list_of(_TENSOR), "outputs": list_of(_TENSOR), "layers": list_of(_LAYER),
    "arena_bytes": SIZE, "constant_bytes": SIZE, "weight_bytes": SIZE, "weight_memory_bytes": SIZE, "macs": SIZE,
}, {"noise": _NOISE, "structure": json_object})  # fmt: skip
"""manifest.json (backend/manifest.py)."""

DTYPES = frozenset({
    "|b1", "|i1", "|u1", *(f"{order}{kind}{size}" for order in "<>" for kind in "iu" for size in (2, 4, 8)),
    *(f"{order}f{size}" for order in "<>" for size in (2, 4, 8)),
})  # fmt: skip
"""numpy's names of the element types that constants may have."""

_AXES = list_of(integer(0), 16)
_ARRAY = record(
    {"dtype": one_of(*sorted(DTYPES)), "shape": _AXES},
    {"at": SIZE, "weights": record({**_WEIGHTS, "taps": integer(1)})},
)
_QUANT = record({
    "qtype": text(_INTEGER, "an integer type such as i4"), "zero_point": integer(-(1 << 16), 1 << 16),
    "axis": optional(integer(0, 15)), "container": CONTAINER, "group_size": optional(integer(1)),
})  # fmt: skip
_ELEMENT = text(r"u?int(8|16|32|64)|float(32|64)|bool|[<>][iuf][248]", "an element type")
_TYPE = record({"shape": _AXES, "dtype": _ELEMENT}, {"quant": _QUANT})
_NODE = record({"name": NAME, "op": NAME, "inputs": list_of(NAME), "attrs": mapping_of(plain), "source": NAME})

GRAPH: Check = record({
    "graph": record({
        "name": NAME, "inputs": list_of(NAME), "outputs": list_of(NAME), "constants": list_of(NAME),
        "types": mapping_of(_TYPE), "nodes": list_of(_NODE),
    }, {"structure": json_object, "real": one_of("float16")}),
    "arrays": mapping_of(_ARRAY),
})  # fmt: skip
"""graph.json (runtime/graph_store.py)."""
