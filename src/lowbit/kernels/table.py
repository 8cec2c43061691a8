"""The table of kernels: a row for each kind says what it computes, how, what that is exactly, and on what it is tried."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["KERNELS", "Kernel"]


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """A row: four objects as ``module:name``, for :func:`lowbit.kernels.named.named`, so that the table imports none of them.

    ``spec``: the class of its specs, a KernelSpec.
    ``build``: (spec, target) -> PrimFunc.
    ``reference``: (spec, **arrays) -> the result, in plain numpy; what the kernel must equal.
    ``cases``: target -> every ``Case`` (case.py) on which the tests compare the two.
    """

    spec: str
    build: str
    reference: str
    cases: str


def _row(room: str, spec: str, build: str, reference: str, cases: str = "cases:cases") -> Kernel:
    at = f"lowbit.kernels.{room}."
    return Kernel(spec=f"{at}spec:{spec}", build=f"{at}{build}:build", reference=at + reference, cases=at + cases)


_MOVES = "data_movement"

KERNELS: dict[str, Kernel] = {
    "argmax": _row("argmax", "ArgmaxSpec", "schedule", "reference:argmax"),
    "binary": _row("elementwise", "BinarySpec", "binary", "reference:binary", "cases:binary_cases"),
    "conv2d": _row("conv2d", "ConvSpec", "build", "reference:convolution"),
    "copy": _row(_MOVES, "CopySpec", "copy", "reference:copy", "cases:copy_cases"),
    "depthwise": _row("depthwise_conv2d", "DepthwiseSpec", "schedule", "reference:depthwise"),
    "gather": _row(_MOVES, "GatherSpec", "gather", "reference:gather", "cases:gather_cases"),
    "input": _row(_MOVES, "InputSpec", "input", "reference:stored_input", "cases:input_cases"),
    "layer_norm": _row("normalize", "LayerNormSpec", "layer_norm", "reference:layer_norm", "cases:layer_norm_cases"),
    "lut": _row("elementwise", "LutSpec", "lut", "reference:lut", "cases:lut_cases"),
    "matmul": _row("matmul", "MatmulSpec", "schedule", "reference:matmul", "cases:matmul_cases"),
    "matmul_pack": _row("matmul", "MatmulPackSpec", "pack", "reference:packed", "cases:pack_cases"),
    "moments": _row("normalize", "MomentsSpec", "moments", "reference:moments", "cases:moments_cases"),
    "normalize": _row("normalize", "NormalizeSpec", "normalize", "reference:normalize", "cases:normalize_cases"),
    "output": _row(_MOVES, "OutputSpec", "output", "reference:output", "cases:output_cases"),
    "pack_bits": _row(_MOVES, "PackBitsSpec", "pack_bits", "reference:packed_bits", "packing_cases:bits_cases"),
    "pack_bytes": _row(_MOVES, "PackBytesSpec", "pack_bytes", "reference:packed_bytes", "packing_cases:bytes_cases"),
    "pack_fields": _row(_MOVES, "PackFieldsSpec", "pack_fields", "reference:packed_fields", "packing_cases:fields_cases"),
    "pack_halves": _row(_MOVES, "PackHalvesSpec", "pack_halves", "reference:packed_halves", "packing_cases:halves_cases"),
    "pack_pairs": _row(_MOVES, "PackPairsSpec", "pack_pairs", "reference:packed_pairs", "packing_cases:pairs_cases"),
    "pack_taps": _row(_MOVES, "PackTapsSpec", "pack_taps", "reference:packed_taps", "packing_cases:taps_cases"),
    "pool": _row("pool", "PoolSpec", "schedule", "reference:pool"),
    "resize": _row("resize", "ResizeSpec", "schedule", "reference:resize"),
    "response_norm": _row("response_norm", "ResponseNormSpec", "schedule", "reference:response_norm"),
    "runs": _row(_MOVES, "RunsSpec", "runs", "reference:runs", "cases:runs_cases"),
    "softmax": _row("softmax", "SoftmaxSpec", "schedule", "reference:softmax"),
    "statistics": _row("normalize", "StatisticsSpec", "statistics", "reference:statistics", "cases:statistics_cases"),
    "unary": _row("elementwise", "UnarySpec", "unary", "reference:unary", "cases:unary_cases"),
    "winograd": _row("winograd", "WinogradSpec", "schedule", "reference:convolution"),
}
