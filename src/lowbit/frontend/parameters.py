"""Parameters and buffers must be plain tensors with values."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from lowbit.errors import InputError, warn

__all__ = ["as_float32", "check_parameters"]


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


@contextmanager
def as_float32(model: torch.nn.Module) -> Iterator[None]:
    """While this lasts, a model whose parameters are float64, float16 or bfloat16 has float32 ones of the same values (rounded,
    from float64), and buffers alike; afterwards its own again.  A note says so.  Buffers alone stay: constants in float64 are
    taken by value."""
    tensors = dict([*model.named_parameters(), *model.named_buffers()])
    odd = {name: each for name, each in tensors.items() if each.is_floating_point() and each.dtype != torch.float32}
    first = next((name for name, _ in model.named_parameters() if name in odd), None)
    if first is None:
        yield
        return
    kept = [(tensor, tensor.data) for tensor in odd.values()]
    more = f" and {len(odd) - 1} more" if len(odd) > 1 else ""
    warn(f"{type(model).__name__}: {first} is {odd[first].dtype}{more}; it is compiled as float32, from the values it has")
    try:
        for tensor in odd.values():
            tensor.data = tensor.data.float()
        yield
    finally:
        for tensor, data in kept:
            tensor.data = data
