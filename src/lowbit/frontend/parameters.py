"""Parameters and buffers must be plain tensors with values."""

from __future__ import annotations

import torch

from lowbit.errors import InputError

__all__ = ["check_parameters"]


def check_parameters(model: torch.nn.Module) -> None:
    """Raises InputError for a parameter or buffer without values in plain memory, naming the first one."""
    for kind, tensors in (("parameter", model.named_parameters()), ("buffer", model.named_buffers())):
        for name, tensor in tensors:
            why = _unusable(tensor)
            if why:
                raise InputError(f"{kind} {name} {why}")


def _unusable(tensor: torch.Tensor) -> str:
    if isinstance(tensor, torch.nn.parameter.UninitializedTensorMixin):
        return "has no shape yet; run the model once before compiling it"
    if tensor.is_meta:
        return "is on the meta device and has no values; load the weights first"
    if tensor.is_quantized:
        return "is quantized by torch; give lowbit the float32 model"
    if tensor.layout != torch.strided:
        return f"has layout {tensor.layout}; call to_dense() on it first"
    return ""
