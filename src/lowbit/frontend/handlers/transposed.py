"""Transposed convolutions as ordinary ones: each phase of the result is a convolution with a part of the kernel.

With stride s, padding p, dilation d, result o of an axis is sum over k of w[k] x[(o + p - d k) / s] where that is whole.  So
f = o + p has phase r = f mod s, which reads the taps k with d k = r (mod s): k = k0 + m s / g, g = gcd(s, d), and of x the
positions f // s - e - m d / g, e = (d k0 - r) / s.  That is a convolution, and no product with a zero is made.  Phases with
equally many taps are one convolution with more channels; ``interleave`` puts the phases back between each other.
(Shi et al. 2016, "Is the deconvolution layer the same as a convolutional layer?", for equal phases.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import gcd

import torch

from lowbit.frontend.builder import Builder
from lowbit.frontend.call import Call, Value
from lowbit.frontend.handlers.concat import join

__all__ = ["transposed"]


@dataclass(frozen=True)
class _Phase:
    """``taps``: the kernel's positions, last one first as a convolution reads them; ``shift``: e above."""

    residue: int
    taps: tuple[int, ...]
    shift: int


@dataclass(frozen=True)
class _Axis:
    """One axis of a transposed convolution: its phases, those of equally many taps side by side."""

    size: int
    out: int
    stride: int
    padding: int
    spacing: int  # between the taps of a phase, in x
    phases: tuple[_Phase, ...]

    @classmethod
    def of(cls, size: int, out: int, kernel: int, stride: int, padding: int, dilation: int) -> _Axis:
        found = []
        for residue in range(stride):
            taps = tuple(k for k in range(kernel) if (dilation * k - residue) % stride == 0)
            found.append(_Phase(residue, taps[::-1], (dilation * taps[0] - residue) // stride if taps else 0))
        found.sort(key=lambda phase: -len(phase.taps))
        return cls(size, out, stride, padding, dilation // gcd(dilation, stride), tuple(found))

    @property
    def classes(self) -> tuple[tuple[_Phase, ...], ...]:
        counts = dict.fromkeys(len(phase.taps) for phase in self.phases)
        return tuple(tuple(phase for phase in self.phases if len(phase.taps) == count) for count in counts)

    @property
    def places(self) -> list[tuple[int, int]]:
        """For each result: which phase, and which of its positions, before :attr:`first` is taken off."""
        order = {phase.residue: index for index, phase in enumerate(self.phases)}
        reached = (divmod(o + self.padding, self.stride) for o in range(self.out))
        return [(order[residue], place - self.phases[order[residue]].shift) for place, residue in reached]

    @property
    def span(self) -> tuple[int, int]:
        """First and last position that is computed: all that are read, and as far as padding may not be negative."""
        read = [place for _, place in self.places]
        fewest = min((len(phase.taps) for phase in self.phases if phase.taps), default=1)
        return min(*read, (fewest - 1) * self.spacing), max(*read, self.size - 1)

    def padding_of(self, taps: int) -> tuple[int, int]:
        first, last = self.span
        return (taps - 1) * self.spacing - first, last + 1 - self.size

    def rows(self) -> tuple[tuple[int, int], ...]:
        return tuple((phase, place - self.span[0]) for phase, place in self.places)


def transposed(
    b: Builder,
    call: Call,
    x: str,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    out: Sequence[int],
) -> str:
    """The transposed convolution of ``x`` (N, C, H, W) with ``weight`` (C, O / groups, kh, kw); ``out``: its height and width."""
    sizes, kernel = b.shape(x)[2:], weight.shape[2:]
    vertical, horizontal = (_Axis.of(*numbers) for numbers in zip(sizes, out, kernel, stride, padding, dilation, strict=True))
    uneven = len(vertical.classes) > 1 or len(horizontal.classes) > 1
    row_groups: Sequence[tuple[_Phase, ...]] = vertical.classes
    column_groups: Sequence[tuple[_Phase, ...]] = horizontal.classes
    if len(column_groups) > 1 or (groups > 1 and uneven):
        row_groups = [(phase,) for phase in vertical.phases]
    if groups > 1 and uneven:
        column_groups = [(phase,) for phase in horizontal.phases]
    whole = all(phase.taps for axis in (vertical, horizontal) for phase in axis.phases)
    parts: list[Value] = []
    for rows in row_groups:
        for columns in column_groups:
            part = replace(call, module=f"{call.module}.{len(rows[0].taps)}x{len(columns[0].taps)}") if uneven else call
            parts.append(_part(b, part, x, weight, bias if whole else None, (vertical, horizontal), rows, columns, groups))
    together = join(b, call, parts, 1)
    assert isinstance(together, str)
    channels, phases = weight.shape[1] * groups, (len(vertical.phases), len(horizontal.phases))
    shape = (b.shape(x)[0], channels, *out)
    attrs = {"rows": vertical.rows(), "columns": horizontal.rows(), "phases": phases, "groups": 1 if uneven else groups}
    y = together if phases == (1, 1) and b.shape(together) == shape else b.emit(call, "interleave", [together], shape, **attrs)
    if whole or bias is None:
        return y
    return b.emit(call, "add", [y, bias.reshape(1, -1, 1, 1)], shape)


def _part(
    b: Builder,
    call: Call,
    x: str,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    axes: tuple[_Axis, _Axis],
    rows: Sequence[_Phase],
    columns: Sequence[_Phase],
    groups: int,
) -> Value:
    """Every pair of these phases, as channels (group, row phase, column phase, channel of the group): zeros where there are no
    taps."""
    vertical, horizontal = axes
    taps = len(rows[0].taps), len(columns[0].taps)
    shape = b.shape(x)
    channels = weight.shape[1] * groups * len(rows) * len(columns)
    extents = tuple(last - first + 1 for first, last in (vertical.span, horizontal.span))
    if not all(taps):
        return torch.zeros(shape[0], channels, *extents)
    kernels = torch.stack(
        [torch.stack([weight[:, :, list(r.taps)][..., list(c.taps)] for c in columns]) for r in rows]
    )  # row phase, column phase, C, O / groups, kh, kw
    kernels = kernels.reshape(*kernels.shape[:2], groups, -1, *weight.shape[1:2], *taps)
    kernels = kernels.permute(2, 0, 1, 4, 3, 5, 6).reshape(channels, -1, *taps)
    inputs: list[Value] = [x, kernels]
    if bias is not None:
        inputs.append(bias.reshape(groups, 1, -1).expand(groups, len(rows) * len(columns), -1).reshape(-1))
    (top, bottom), (left, right) = vertical.padding_of(taps[0]), horizontal.padding_of(taps[1])
    attrs = {"stride": (1, 1), "padding": (top, left, bottom, right), "dilation": (vertical.spacing, horizontal.spacing)}
    return b.emit(call, "conv2d", inputs, (shape[0], channels, *extents), groups=groups, **attrs)
