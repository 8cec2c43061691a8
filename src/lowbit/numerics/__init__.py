"""What every integer means: types, scales, rounding, packing.  Needs numpy alone."""

from lowbit.numerics.packing import pack_bits, packed_size, unpack_bits
from lowbit.numerics.qparams import QParams
from lowbit.numerics.qtype import QType
from lowbit.numerics.requantize import dequantize, multiplier, quantize, requantize

__all__ = [
    "QParams",
    "QType",
    "dequantize",
    "multiplier",
    "pack_bits",
    "packed_size",
    "quantize",
    "requantize",
    "unpack_bits",
]
