"""What ``program.json`` has to look like.  Apart from the other tables: reading a program needs more imports than running one."""

from __future__ import annotations

from lowbit.kernels.layout import ELEMENT_BYTES
from lowbit.lowering.program import SPACES
from lowbit.runtime.schema import CONTAINER, NAME, QTYPE, SHAPE, SIZE, Check, integer, list_of, one_of, optional, record

__all__ = ["PROGRAM"]

_OFFSET = integer(-(1 << 62), 1 << 62)
_LAYOUT = record({
    **dict.fromkeys("nhw", integer(1)), **dict.fromkeys(("c", "stride"), SIZE), "dtype": one_of(*ELEMENT_BYTES),
    **dict.fromkeys(("top", "left", "bottom", "right"), SIZE),
})  # fmt: skip
_REF = record({"space": one_of(*SPACES), "offset": SIZE})
_FILL = record({"offset": SIZE, "layout": _LAYOUT, "value": _OFFSET, "whole": one_of(True, False)})
_CALL = record({"args": list_of(_REF, 7), "fills": list_of(_FILL), "extent": SIZE})
_BUFFER = record({"name": NAME, "layout": _LAYOUT, "first": SIZE, "last": SIZE, "offset": SIZE})
_TABLE = record({"at": SIZE, "shape": list_of(SIZE, 2)})
_PACKING = record({
    "scheme": one_of("panels", "taps"), "element": one_of("bit", "i2", "i4", "i8", "i16", "f16", "bf16", "f32", "index"),
    **dict.fromkeys(("n", "runs", "run_len", "run_pad", "nr", "k_group", "parts", "groups"), integer(1, 1 << 31)),
    **dict.fromkeys(("window", "group_size", "channels", "bits"), integer(0, 1 << 31)),
    **dict.fromkeys(("window_start", "split", "offsets"), optional(_TABLE)), "group_scale": optional(list_of(integer(1), 2)),
}, {"shuffle": _TABLE})  # fmt: skip
_PROGRAM_WEIGHTS = record({
    "layer": NAME, "qtype": QTYPE, "container": CONTAINER, "shape": SHAPE, "offset": SIZE, "packing": _PACKING,
})  # fmt: skip

PROGRAM: Check = record({
    "calls": list_of(_CALL), "buffers": list_of(_BUFFER), "weights": list_of(_PROGRAM_WEIGHTS), "constant_bytes": SIZE,
    "table_bytes": SIZE,
})  # fmt: skip
"""program.json (runtime/program_store.py)."""
