"""Exact integer convolutions and matrix products through floating-point BLAS."""

from __future__ import annotations

import numpy as np

__all__ = ["exact_conv2d", "exact_dtype", "exact_linear", "float_conv2d"]

_CHUNK = 1 << 22  # elements of one block of patches: 8 to 16 MB


def exact_dtype(largest: int, w: np.ndarray, bias: np.ndarray) -> np.dtype:
    """A dtype in which bias[n] + sum_k x[k] * w[n, k] is exact in whatever order it is summed.

    Every partial sum is an integer of magnitude at most largest * max_n sum_k |w[n, k]| + max|bias|,
    ``largest`` = max|x|; float32 holds all integers up to 2^24, float64 up to 2^53; beyond that, int64.
    """
    rows = np.abs(w.reshape(len(w), -1).astype(np.float64)).sum(1)
    bound = largest * float(rows.max(initial=0)) + float(np.abs(bias.astype(np.float64)).max(initial=0))
    return np.dtype(np.float32 if bound < 2**24 else np.float64 if bound < 2**53 else np.int64)


def _largest(x: np.ndarray) -> int:
    return max(abs(int(x.min(initial=0))), abs(int(x.max(initial=0))))


def exact_linear(x: np.ndarray, w: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """acc[..., n] = bias[n] + sum_k x[..., k] * w[n, k]; integers held exactly (see exact_dtype)."""
    dtype = exact_dtype(_largest(x), w, bias)
    return x.astype(dtype) @ w.astype(dtype).T + bias.astype(dtype)


def exact_conv2d(
    x: np.ndarray,
    w: np.ndarray,
    bias: np.ndarray,
    stride: tuple[int, int],
    padding: tuple[int, int, int, int],
    dilation: tuple[int, int],
    groups: int,
    pad_value: int,
) -> np.ndarray:
    """acc[n, o, y, x] = bias[o] + sum over taps and the group's input channels; NCHW, w OIHW.

    Positions outside the input hold ``pad_value``.  The result's integers are held exactly.
    """
    dtype = exact_dtype(max(_largest(x), abs(pad_value)), w, bias)
    return _conv2d(x.astype(dtype), w.astype(dtype), bias.astype(dtype), stride, padding, dilation, groups, pad_value)


def float_conv2d(
    x: np.ndarray,
    w: np.ndarray,
    bias: np.ndarray,
    stride: tuple[int, int],
    padding: tuple[int, int, int, int],
    dilation: tuple[int, int],
    groups: int,
) -> np.ndarray:
    """The same of real numbers, summed in float64; zero padded."""
    x, w, bias = (value.astype(np.float64) for value in (x, w, bias))
    return _conv2d(x, w, bias, stride, padding, dilation, groups, 0)


def _conv2d(
    x: np.ndarray,
    w: np.ndarray,
    bias: np.ndarray,
    stride: tuple[int, int],
    padding: tuple[int, int, int, int],
    dilation: tuple[int, int],
    groups: int,
    pad_value: int,
) -> np.ndarray:
    top, left, bottom, right = padding
    if any(padding):
        x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=pad_value)
    kernel = w.shape[2:]
    oh, ow = ((size - d * (k - 1) - 1) // s + 1 for size, k, s, d in zip(x.shape[2:], kernel, stride, dilation, strict=True))
    if w.shape[1] == 1 and groups > 1:
        out = _depthwise(x, w, stride, dilation, oh, ow)
    else:
        out = _im2col(x, w, stride, dilation, groups, oh, ow)
    out += bias[:, None, None]
    return out


def _tap(x: np.ndarray, ky: int, kx: int, stride: tuple[int, int], dilation: tuple[int, int], oh: int, ow: int) -> np.ndarray:
    """What kernel position (ky, kx) sees at each of the oh x ow outputs: a strided view."""
    y0, x0 = ky * dilation[0], kx * dilation[1]
    return x[:, :, y0 : y0 + (oh - 1) * stride[0] + 1 : stride[0], x0 : x0 + (ow - 1) * stride[1] + 1 : stride[1]]


def _depthwise(x: np.ndarray, w: np.ndarray, stride: tuple[int, int], dilation: tuple[int, int], oh: int, ow: int) -> np.ndarray:
    """One input channel per group: a sum over taps; channel c feeds the outputs c*m .. c*m + m-1."""
    x = np.repeat(x, w.shape[0] // x.shape[1], axis=1)
    out = np.zeros((x.shape[0], w.shape[0], oh, ow), x.dtype)
    for ky, kx in np.ndindex(*w.shape[2:]):
        out += _tap(x, ky, kx, stride, dilation, oh, ow) * w[:, 0, ky, kx, None, None]
    return out


def _im2col(
    x: np.ndarray, w: np.ndarray, stride: tuple[int, int], dilation: tuple[int, int], groups: int, oh: int, ow: int
) -> np.ndarray:
    """One matrix product of the weights with many input patches at a time: few large products, since
    each makes the threads of BLAS wait for each other."""
    n, o, (ci, kh, kw) = x.shape[0], w.shape[0], w.shape[1:]
    matrix = w.reshape(groups, o // groups, ci * kh * kw)
    if n == 1 and (kh, kw) == (1, 1) and stride == (1, 1):
        return (matrix @ x.reshape(groups, ci, oh * ow)).reshape(1, o, oh, ow)
    out = np.empty((n, o, oh, ow), x.dtype)
    patch = groups * ci * kh * kw * ow  # elements of one output row's patches
    rows = min(oh, max(1, _CHUNK // patch))
    images = min(n, max(1, _CHUNK // (patch * oh)))
    buffer = np.empty(patch * rows * images, x.dtype)
    for b in range(0, n, images):
        for y in range(0, oh, rows):
            part, height = x[b : b + images, :, y * stride[0] :], min(rows, oh - y)
            columns = buffer[: patch // ow * len(part) * height * ow].reshape(groups * ci, kh, kw, len(part), height, ow)
            for ky, kx in np.ndindex(kh, kw):
                columns[:, ky, kx] = _tap(part, ky, kx, stride, dilation, height, ow).swapaxes(0, 1)
            product = matrix @ columns.reshape(groups, ci * kh * kw, len(part) * height * ow)
            out[b : b + images, :, y : y + height] = product.reshape(o, len(part), height, ow).swapaxes(0, 1)
    return out
