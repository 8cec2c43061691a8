"""ConvSpec -> TensorIR, by whatever its form says."""

from __future__ import annotations

from typing import Any

from lowbit.kernels.conv2d.forms import find_form
from lowbit.kernels.conv2d.spec import ConvSpec
from lowbit.targets import Target

__all__ = ["build"]


def build(spec: ConvSpec, target: Target) -> Any:
    """The PrimFunc of ``spec``.  Raises UnsupportedPrecision for an unknown form."""
    return find_form(spec.form).build(spec, target)
