"""Operations that torch's documentation defines by others: name -> the definition, of the arguments of its schema."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["DEFINITIONS"]

_MOST_FACTORS = 16


def _celu(self: Tensor, alpha: float) -> Tensor:
    if alpha <= 0:
        raise ValueError(f"alpha = {alpha} must be positive")
    return alpha * F.elu(self / alpha)


def _glu(self: Tensor, dim: int) -> Tensor:
    a, b = self.chunk(2, dim)
    return a * b.sigmoid()


def _rrelu(self: Tensor, lower: float, upper: float, training: bool) -> Tensor:
    if training:
        raise ValueError("slopes are drawn at random although the model is in evaluation mode; pass training=self.training")
    return F.leaky_relu(self, (lower + upper) / 2)


def _beyond(x: Tensor, least: float) -> Tensor:
    """1 where x > least, else 0."""
    return (x - least).sign().relu()


def _threshold(self: Tensor, threshold: float, value: float) -> Tensor:
    if threshold == value:
        return self.clamp_min(value)
    over = _beyond(self, threshold)
    return self * over + (1 - over) * value if value else self * over


def _lerp(self: Tensor, end: Tensor, weight: Any) -> Tensor:
    return self + weight * (end - self)


def _logit(self: Tensor, eps: float | None) -> Tensor:
    x = self if eps is None else self.clamp(eps, 1 - eps)
    return x.log() - (-x).log1p()


def _log_sum_exp(self: Tensor, dim: Sequence[int], keepdim: bool = False) -> Tensor:
    """max x - max log_softmax(x), over all of the axes at once."""
    axes = _axes(self, dim)
    rest = [axis for axis in range(self.dim()) if axis not in axes]
    flat = self.permute(*rest, *axes).flatten(len(rest)) if axes else self.unsqueeze(-1)
    y = flat.amax(-1) - flat.log_softmax(-1).amax(-1)
    return y.reshape([1 if axis in axes else size for axis, size in enumerate(self.shape)]) if keepdim else y


def _log_add_exp(self: Tensor, other: Tensor) -> Tensor:
    return torch.maximum(self, other) + F.softplus(-(self - other).abs())


def _axes(x: Tensor, dim: Sequence[int] | int | None) -> list[int]:
    """All of them where none is given."""
    given = [dim] if isinstance(dim, int) else list(dim or range(x.dim()))
    return sorted(axis % max(x.dim(), 1) for axis in given) if x.dim() else []


def _variance(
    self: Tensor,
    dim: Sequence[int] | None = None,
    unbiased: bool = True,
    correction: float | None = None,
    keepdim: bool = False,
) -> Tensor:
    axes = _axes(self, dim)
    count, lost = math.prod(self.shape[axis] for axis in axes), int(unbiased) if correction is None else correction
    if count <= lost:
        raise ValueError(f"of {count} elements, {lost} of which are lost to the mean, the variance is not a number")
    around = self - self.mean(axes, keepdim=True)
    return around.square().mean(axes, keepdim=keepdim) * (count / (count - lost))


def _deviation(self: Tensor, **options: Any) -> Tensor:
    return _variance(self, **options).sqrt()


def _with_mean(spread: Callable[..., Tensor]) -> Callable[..., tuple[Tensor, Tensor]]:
    def both(self: Tensor, dim: Sequence[int] | None = None, keepdim: bool = False, **options: Any) -> tuple[Tensor, Tensor]:
        return spread(self, dim=dim, keepdim=keepdim, **options), self.mean(_axes(self, dim), keepdim=keepdim)

    return both


def _part(keep: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def part(self: Tensor, diagonal: int) -> Tensor:
        return torch.where(keep(torch.ones(self.shape[-2:], dtype=torch.bool), diagonal=diagonal), self, 0.0)

    return part


def _diagonal(self: Tensor, offset: int, dim1: int, dim2: int) -> Tensor:
    first, second = dim1 % self.dim(), dim2 % self.dim()
    rest = [axis for axis in range(self.dim()) if axis not in (first, second)]
    rows, columns = self.shape[first], self.shape[second]
    start = offset if offset >= 0 else -offset * columns
    count = max(0, min(rows, columns - offset) if offset >= 0 else min(rows + offset, columns))
    flat = self.permute(*rest, first, second).flatten(-2)
    return flat[..., start : start + count * (columns + 1) : columns + 1][..., :count]


def _trace(self: Tensor) -> Tensor:
    return _diagonal(self, 0, 0, 1).sum()


def _pair(value: Sequence[int]) -> tuple[int, int]:
    return (value[0], value[-1])


def _windows(self: Tensor, kernel_size: Any, dilation: Any, padding: Any, stride: Any) -> Tensor:
    """im2col: (N, C, H, W) -> (N, C * kernel, places)."""
    if self.dim() == 3:
        return _windows(self[None], kernel_size, dilation, padding, stride)[0]
    kernel, dilation, padding, stride = map(_pair, (kernel_size, dilation, padding, stride))
    x = F.pad(self, (padding[1], padding[1], padding[0], padding[0]))
    rows, columns = (
        (x.shape[2 + k] - dilation[k] * (kernel[k] - 1) - 1) // stride[k] * stride[k] + 1 for k in range(2)
    )  # from the first place to the last
    parts = [
        x[:, :, i : i + rows : stride[0], j : j + columns : stride[1]]
        for i in range(0, kernel[0] * dilation[0], dilation[0])
        for j in range(0, kernel[1] * dilation[1], dilation[1])
    ]
    return torch.stack(parts, 2).flatten(3).flatten(1, 2)


def _sum_of_windows(self: Tensor, output_size: Any, kernel_size: Any, dilation: Any, padding: Any, stride: Any) -> Tensor:
    """col2im: a transposed convolution whose weights are 1 where a row of the windows goes."""
    if self.dim() == 2:
        return _sum_of_windows(self[None], output_size, kernel_size, dilation, padding, stride)[0]
    size, kernel, dilation, padding, stride = map(_pair, (output_size, kernel_size, dilation, padding, stride))
    places = [(size[k] + 2 * padding[k] - dilation[k] * (kernel[k] - 1) - 1) // stride[k] + 1 for k in range(2)]
    made = [(places[k] - 1) * stride[k] - 2 * padding[k] + dilation[k] * (kernel[k] - 1) + 1 for k in range(2)]
    taps = math.prod(kernel)
    channels = self.shape[1] // taps
    weight = torch.eye(taps).reshape(taps, 1, *kernel).repeat(channels, 1, 1, 1)
    x, more = self.unflatten(-1, places), [size[k] - made[k] for k in range(2)]
    return F.conv_transpose2d(x, weight, None, stride, padding, more, channels, dilation)


def _transposed(self: Tensor) -> Tensor:
    return self.transpose(-1, -2) if self.dim() > 1 else self


def _outer(self: Tensor, vec2: Tensor) -> Tensor:
    return self[:, None] * vec2


def _bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    inner = F.linear(input2, weight.flatten(0, 1)).unflatten(-1, weight.shape[:2])
    y = (input1[..., None, :] * inner).sum(-1)
    return y if bias is None else y + bias


def _cosine_similarity(x1: Tensor, x2: Tensor, dim: int, eps: float) -> Tensor:
    x1, x2 = torch.broadcast_tensors(x1, x2)
    return (F.normalize(x1, 2.0, dim, eps) * F.normalize(x2, 2.0, dim, eps)).sum(dim)


def _distance(self: Tensor, other: Tensor, p: float) -> Tensor:
    return torch.linalg.vector_norm(self - other, p)


def _reduced(errors: Tensor, reduction: int) -> Tensor:
    """As torch numbers them: 1 their mean, 2 their sum, else each error."""
    return errors.mean() if reduction == 1 else errors.sum() if reduction == 2 else errors


def _sums_so_far(self: Tensor, dim: int) -> Tensor:
    if not self.dim():
        return self.clone()
    return (self.movedim(dim, -1) @ torch.ones(self.shape[dim], self.shape[dim]).triu()).movedim(-1, dim)


def _product(self: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    x = self.flatten() if dim is None else self
    axis = 0 if dim is None else dim
    if not x.dim():
        return x.clone()
    if x.shape[axis] > _MOST_FACTORS:
        raise ValueError(f"a product of {x.shape[axis]} factors; supported are up to {_MOST_FACTORS}")
    y = reduce(torch.mul, x.unbind(axis))
    return y.unsqueeze(axis) if keepdim else y


def _cross(self: Tensor, other: Tensor, dim: int | None = None) -> Tensor:
    x, y = torch.broadcast_tensors(self, other)
    axis = x.shape.index(3) if dim is None else dim
    return x.roll(-1, axis) * y.roll(-2, axis) - x.roll(-2, axis) * y.roll(-1, axis)


DEFINITIONS: dict[str, Callable[..., Any]] = {
    "celu": _celu,
    "glu": _glu,
    "rrelu": _rrelu,
    "threshold": _threshold,
    "softshrink": lambda self, lambd: self - self.clamp(-lambd, lambd),
    "hardshrink": lambda self, lambd: self * _beyond(self.abs(), lambd),
    "lerp": _lerp,
    "logit": _logit,
    "special_logit": _logit,
    "logsumexp": _log_sum_exp,
    "logaddexp": _log_add_exp,
    "fmax": lambda self, other: torch.maximum(self, other),
    "fmin": lambda self, other: torch.minimum(self, other),
    "erfc": lambda self: 1 - self.erf(),
    "sinh": lambda self: (self.exp() - (-self).exp()) * 0.5,
    "cosh": lambda self: (self.exp() + (-self).exp()) * 0.5,
    "tan": lambda self: self.sin() / self.cos(),
    "hypot": lambda self, other: (self.square() + other.square()).sqrt(),
    "expm1": lambda self: self.exp() - 1,
    "exp2": lambda self: (self * math.log(2)).exp(),
    "log2": lambda self: self.log() / math.log(2),
    "log10": lambda self: self.log() / math.log(10),
    "var": _variance,
    "std": _deviation,
    "var_mean": _with_mean(_variance),
    "std_mean": _with_mean(_deviation),
    "cumsum": _sums_so_far,
    "prod": _product,
    "diff": lambda **given: torch.diff(given.pop("self"), **given),
    "tril": _part(torch.tril),
    "triu": _part(torch.triu),
    "diagonal": _diagonal,
    "trace": _trace,
    "im2col": _windows,
    "col2im": _sum_of_windows,
    "mv": lambda self, vec: (self @ vec[:, None])[:, 0],
    "dot": lambda self, tensor: (self * tensor).sum(),
    "vdot": lambda self, other: (self * other).sum(),
    "linalg_vecdot": lambda x, y, dim: (x * y).sum(dim),
    "outer": _outer,
    "ger": _outer,
    "inner": lambda self, other: torch.inner(self, other),
    "tensordot": torch.ops.aten.tensordot,
    "kron": torch.ops.aten.kron,
    "bilinear": _bilinear,
    "cross": _cross,
    "linalg_cross": _cross,
    "cosine_similarity": _cosine_similarity,
    "pairwise_distance": lambda x1, x2, p, eps, keepdim: torch.linalg.vector_norm(x1 - x2 + eps, p, -1, keepdim),
    "dist": _distance,
    "mse_loss": lambda self, target, reduction: _reduced((self - target).square(), reduction),
    "l1_loss": lambda self, target, reduction: _reduced((self - target).abs(), reduction),
    "linalg_norm": torch.ops.aten.linalg_norm,
    "linalg_matrix_norm": torch.ops.aten.linalg_matrix_norm,
    "numpy_T": lambda self: self.permute([*range(self.dim())][::-1]),
    "mT": _transposed,
    "mH": _transposed,
    "matrix_H": _transposed,
    "adjoint": _transposed,
    "ravel": lambda self: self.flatten(),
    "vstack": lambda tensors: torch.vstack(tensors),
    "row_stack": lambda tensors: torch.vstack(tensors),
    "hstack": lambda tensors: torch.hstack(tensors),
    "dstack": lambda tensors: torch.dstack(tensors),
    "column_stack": lambda tensors: torch.column_stack(tensors),
    "hsplit": torch.ops.aten.hsplit,
    "vsplit": torch.ops.aten.vsplit,
    "dsplit": torch.ops.aten.dsplit,
    "broadcast_tensors": lambda tensors: torch.broadcast_tensors(*tensors),
}
