"""Which operands are activations and which are constants."""

from __future__ import annotations

from typing import Any

import torch

from lowbit.frontend.call import Call, Value

__all__ = ["activation", "constant"]


def activation(call: Call, value: Value) -> str:
    """The name of an operand that must be computed from the network's input."""
    if not isinstance(value, str):
        call.refuse("its first operand must be computed from the network's input, not a constant")
    return value


def constant(value: Any) -> torch.Tensor:
    """A Python number or tensor as a float32 tensor."""
    return torch.as_tensor(value, dtype=torch.float32)
