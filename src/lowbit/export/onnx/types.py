"""Which ONNX type holds the integers of a type of lowbit's."""

from __future__ import annotations

from lowbit.numerics import QType

__all__ = ["OPSET", "element_type", "limits", "opset_of"]

OPSET, _OPSET_OF_2_BITS = 21, 25
_WIDTHS = (2, 4, 8, 16)


def element_type(qtype: QType) -> str:
    """The narrowest: UINT2 for u1 and u2, INT2 also for b1, whose integers are -1 and 1, INT4 for i3 and i4, ..."""
    bits = next(width for width in _WIDTHS if width >= max(qtype.bits, 2))
    return f"{'' if qtype.signed else 'U'}INT{bits}"


def limits(kind: str) -> tuple[int, int]:
    """Lowest and highest integer of an ONNX type."""
    bits = int(kind.removeprefix("U").removeprefix("INT"))
    return (0, (1 << bits) - 1) if kind.startswith("U") else (-(1 << (bits - 1)), (1 << (bits - 1)) - 1)


def opset_of(kinds: set[str]) -> int:
    """25 is the first that has INT2 and UINT2; runtimes that know 21, which has INT4, are more."""
    return _OPSET_OF_2_BITS if kinds & {"INT2", "UINT2"} else OPSET
