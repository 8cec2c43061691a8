"""The table of kernels: one line a kind, ``module:function`` of the builder, imported on first use."""

from __future__ import annotations

__all__ = ["BUILDERS"]

BUILDERS: dict[str, str] = {
    "binary": "lowbit.kernels.elementwise.binary:build",
    "conv2d": "lowbit.kernels.conv2d.build:build",
    "copy": "lowbit.kernels.data_movement.copy:build",
    "depthwise": "lowbit.kernels.depthwise_conv2d.schedule:build",
    "input": "lowbit.kernels.data_movement.input:build",
    "lut": "lowbit.kernels.elementwise.lut:build",
    "output": "lowbit.kernels.data_movement.output:build",
    "pack_bits": "lowbit.kernels.data_movement.pack_bits:build",
    "pack_fields": "lowbit.kernels.data_movement.pack_fields:build",
    "pack_pairs": "lowbit.kernels.data_movement.pack_pairs:build",
    "pool": "lowbit.kernels.pool.schedule:build",
    "runs": "lowbit.kernels.data_movement.runs:build",
    "softmax": "lowbit.kernels.softmax.schedule:build",
    "unary": "lowbit.kernels.elementwise.unary:build",
    "winograd": "lowbit.kernels.winograd.schedule:build",
}
