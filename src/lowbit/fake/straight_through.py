"""Steps without a useful derivative, whose gradient passes straight through (Bengio et al. 2013, section 4)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["instead", "round_", "round_within", "sign", "sign_of"]


class _Round(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.round(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]


class _RoundWithin(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, lo: float, hi: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.ends = lo - 0.5, hi + 0.5
        return torch.round(x).clamp_(lo, hi)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors
        return torch.ops.aten.hardtanh_backward(gradients[0], x, *ctx.ends), None, None


class _Sign(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.where(x >= 0, 1.0, -1.0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return gradients[0] * (x.abs() <= 1)


class _Instead(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, smooth: Tensor, exact: Tensor) -> Tensor:
        return exact

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None


def round_(x: Tensor) -> Tensor:
    """rint(x), half to even; derivative 1."""
    return _Round.apply(x)  # type: ignore[no-any-return,no-untyped-call]


def round_within(x: Tensor, lo: float, hi: float) -> Tensor:
    """clamp(rint(x), lo, hi) of integers lo < hi; derivative 1 where nothing is clipped, else 0.  Two passes over memory
    forwards, one backwards."""
    return _RoundWithin.apply(x, lo, hi)  # type: ignore[no-any-return,no-untyped-call]


def sign(x: Tensor) -> Tensor:
    """+1 where x >= 0, else -1; derivative 1 for |x| <= 1, else 0 (Hubara et al. 2016, eq. 4)."""
    return _Sign.apply(x)  # type: ignore[no-any-return,no-untyped-call]


def sign_of(x: Tensor, step: Tensor | float) -> Tensor:
    """:func:`sign` of x itself with the derivative of sign(x / step): a quotient may underflow to 0, whose sign is another."""
    return instead(sign(x / step), torch.where(x >= 0, 1.0, -1.0).to(x.dtype))


def instead(smooth: Tensor, exact: Tensor) -> Tensor:
    """The values of ``exact`` with the gradient of ``smooth``; same shapes."""
    return _Instead.apply(smooth, exact)  # type: ignore[no-any-return,no-untyped-call]
