"""WinogradSpec in numpy: the plain convolution, which integers equal, and how far floats may be from it."""

from __future__ import annotations

import numpy as np

from lowbit.kernels.conv2d.reference import convolution
from lowbit.kernels.winograd.spec import WinogradSpec
from lowbit.kernels.winograd.transforms import MATRICES

__all__ = ["ROUNDINGS", "convolution", "size"]

ROUNDINGS = 4 * 5 + 2 * 3 + 3  # of B^T d B and A^T M A (5 a row and column), of G w G^T, of 1 / scale^2 and bias


def size(spec: WinogradSpec, x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """|A^T| ((|G| |w| |G^T|) * (|B^T| |x| |B|)) |A| / scale^2: what a relative error of each operation grows to
    (Barabasz et al., "Error analysis and improving the accuracy of Winograd convolution", 2020, theorem 2).

    x: (n, hp, wp, C) with its halo; w: (N, 3, 3, C)."""
    m, dst, matrices = spec.m, spec.dst, MATRICES[spec.m]
    y0, z0 = spec.origin
    padded = np.pad(np.abs(x[:, y0:, z0:]).astype(np.float64), ((0, 0), (0, m), (0, m), (0, 0)))
    u = np.einsum("ik,nklc,jl->ijnc", abs(matrices.g), np.abs(w).astype(np.float64), abs(matrices.g))
    out = np.zeros((dst.n, dst.h, dst.w, w.shape[0]))
    for y in [min(y, dst.h - m) for y in range(0, dst.h, m)]:
        for z in [min(z, dst.w - m) for z in range(0, dst.w, m)]:
            d = padded[:, y : y + m + 2, z : z + m + 2]
            v = np.einsum("ik,bklc,jl->ijbc", abs(matrices.bt), d, abs(matrices.bt))
            products = np.einsum("ijbc,ijnc->ijbn", v, u)
            made = np.einsum("ki,ijbn,lj->bkln", abs(matrices.at), products, abs(matrices.at))
            out[:, y : y + m, z : z + m] = made / matrices.scale**2
    return out
