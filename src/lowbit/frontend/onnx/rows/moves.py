"""Operations that move, cut, join or make elements, and what shapes are computed with."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from lowbit.frontend.call import Value
from lowbit.frontend.onnx.node import OnnxNode

__all__ = [
    "concat", "constant", "constant_of_shape", "depth_to_space", "expand", "flatten", "gather", "gather_elements", "gather_nd",
    "pad", "range_", "reshape", "resize", "scatter_elements", "scatter_nd", "shape", "size", "slice_", "space_to_depth", "split",
    "squeeze", "tile", "transpose", "unsqueeze",
]  # fmt: skip


def constant(n: OnnxNode) -> Value:
    """Constant, in all its spellings; the walk has made the attribute a tensor."""
    found = [name for name in ("value", "value_float", "value_floats", "value_int", "value_ints") if name in n.attributes]
    if found:
        given = n.attribute(found[0])
        kind = torch.float32 if "float" in found[0] else torch.int64
        return given if isinstance(given, torch.Tensor) else torch.tensor(given, dtype=kind)
    return n.refuse(f"it holds {', '.join(n.attributes) or 'nothing'}; read are tensors, numbers and lists of numbers")


def shape(n: OnnxNode) -> Value:
    """The extents, from ``start`` to ``end``."""
    return torch.tensor(n.shape()[n.attribute("start", 0) : n.attribute("end")], dtype=torch.int64)


def size(n: OnnxNode) -> Value:
    return torch.tensor(math.prod(n.shape()))


def constant_of_shape(n: OnnxNode) -> Value:
    value = n.attribute("value", torch.zeros(1))
    return value.reshape(()).expand(n.constant(0, "the shape").tolist()).contiguous()


def range_(n: OnnxNode) -> Value:
    start, stop, step = (n.constant(index, what).item() for index, what in enumerate(("start", "limit", "delta")))
    return torch.arange(start, stop, step, dtype=n.constant(0, "start").dtype)


def reshape(n: OnnxNode) -> Value:
    """0 copies the extent (unless allowzero), -1 is what is left."""
    wanted, old = [int(size) for size in n.constant(1, "the shape").tolist()], n.shape()
    if not n.attribute("allowzero", 0):
        wanted = [old[axis] if size == 0 and axis < len(old) else size for axis, size in enumerate(wanted)]
    return n.aten("reshape", n.value(0), wanted)


def flatten(n: OnnxNode) -> Value:
    """(product of the axes before ``axis``, product of the others)."""
    old, axis = n.shape(), int(n.attribute("axis", 1))
    axis = axis + len(old) if axis < 0 else axis
    return n.aten("reshape", n.value(0), [math.prod(old[:axis]), math.prod(old[axis:])])


def squeeze(n: OnnxNode) -> Value:
    axes, old = n.given("axes", 1), n.shape()
    gone = {axis % len(old) for axis in axes} if axes is not None else {axis for axis, size in enumerate(old) if size == 1}
    if any(old[axis] != 1 for axis in gone):
        n.refuse(f"axes {sorted(gone)} of a value of shape {old} are not of extent 1")
    return n.aten("reshape", n.value(0), [size for axis, size in enumerate(old) if axis not in gone])


def unsqueeze(n: OnnxNode) -> Value:
    axes, old = n.given("axes", 1), list(n.shape())
    axes = [axes] if isinstance(axes, int) else list(axes)
    rank = len(old) + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        old.insert(axis, 1)
    return n.aten("reshape", n.value(0), old)


def transpose(n: OnnxNode) -> Value:
    return n.aten("permute", n.value(0), list(n.attribute("perm", range(len(n.shape()))[::-1])))


def expand(n: OnnxNode) -> Value:
    """Broadcast to what the given shape and the value's have in common."""
    wanted, old = [int(size) for size in n.constant(1, "the shape").tolist()], n.shape()
    return n.aten("expand", n.value(0), list(torch.broadcast_shapes(tuple(wanted), old)))


def tile(n: OnnxNode) -> Value:
    return n.aten("repeat", n.value(0), n.constant(1, "repeats").tolist())


def concat(n: OnnxNode) -> Value:
    return n.aten("cat", [n.value(index) for index in range(len(n.inputs))], n.axis(default=0))


def split(n: OnnxNode) -> Any:
    """Parts of the given sizes, else equal ones (since opset 18 the last may be smaller)."""
    axis, sizes = n.axis(), n.given("split", 1)
    extent = n.shape()[axis]
    if sizes is None:
        parts = n.attribute("num_outputs", n.outputs)
        each = -(-extent // parts)
        sizes = [min(each, extent - each * index) for index in range(parts)]
    return tuple(n.aten("split_with_sizes", n.value(0), list(sizes), axis))


def slice_(n: OnnxNode) -> Value:
    """x[start:end:step] along some axes; a negative step reads backwards."""
    starts, ends = n.given("starts", 1), n.given("ends", 2)
    axes, steps = n.given("axes", 3), n.given("steps", 4)
    x, rank = n.value(0), len(n.shape())
    axes = list(range(len(starts))) if axes is None else axes
    for start, end, axis, step in zip(starts, ends, axes, steps or [1] * len(starts), strict=True):
        axis %= rank
        extent = n.builder.shape(x)[axis]
        first, stop, by = slice(start, None if step < 0 and end < -extent else end, step).indices(extent)
        if by < 0:
            count = len(range(first, stop, by))
            x = n.aten("flip", x, [axis])
            first, stop, by = extent - 1 - first, extent - first + (count - 1) * -by if count else 0, -by
        x = n.aten("slice.Tensor", x, axis, first, stop, by)
    return x


_MODES = {"constant": "constant", "reflect": "reflect", "edge": "replicate", "wrap": "circular"}


def pad(n: OnnxNode) -> Value:
    """All amounts in front, then all behind."""
    mode, amounts, axes = n.attribute("mode", "constant"), n.given("pads", 1), n.given("axes", 3)
    value = n.given("value", 2)
    rank = len(n.shape())
    count = len(amounts) // 2
    pairs = [(0, 0)] * rank
    for index, axis in enumerate(range(rank) if axes is None else axes):
        pairs[axis % rank] = (int(amounts[index]), int(amounts[count + index]))
    if mode not in _MODES:
        n.refuse(f"padding mode {mode!r}; known are {', '.join(_MODES)}")
    if mode == "constant":
        fill = _fill(n, float(np.reshape(value or 0.0, ())))
        flat = [amount for pair in reversed(pairs) for amount in pair]
        return n.aten("constant_pad_nd", n.value(0), flat, fill) if any(flat) else n.value(0)
    last = next((axis for axis, pair in enumerate(pairs) if any(pair)), rank)
    flat = [amount for pair in reversed(pairs[last:]) for amount in pair]
    return n.aten("pad", n.value(0), flat, _MODES[mode]) if flat else n.value(0)


def _fill(n: OnnxNode, value: float) -> float:
    """The real number that a value of the file means: an integer where it pads integers."""
    grid = n.builder.grids.get(str(n.value(0))) if n.kinds and n.kinds[0] else None
    return value if grid is None else (value - grid.zero_point) * float(grid.scale)


def gather(n: OnnxNode) -> Value:
    """Rows of an axis by a constant index: one, a run of neighbours, or a list."""
    axis, index = n.axis(), n.constant(1, "the index").to(torch.int64)
    x, extent = n.value(0), n.shape()[axis]
    index = torch.where(index < 0, index + extent, index)
    if index.dim() == 0:
        return n.aten("select.int", x, axis, int(index))
    if isinstance(x, torch.Tensor) and index.dim() > 1:
        rows = x.index_select(axis, index.reshape(-1))
        return rows.reshape(*x.shape[:axis], *index.shape, *x.shape[axis + 1 :])
    flat = index.reshape(-1)
    step = int(flat[1] - flat[0]) if len(flat) > 1 else 1
    if step > 0 and bool((flat == flat[0] + step * torch.arange(len(flat))).all()):
        rows = n.aten("slice.Tensor", x, axis, int(flat[0]), int(flat[-1]) + 1, step)
    else:
        rows = n.aten("index_select", x, axis, flat)
    old = n.shape()
    return rows if index.dim() == 1 else n.aten("reshape", rows, [*old[:axis], *index.shape, *old[axis + 1 :]])


def gather_elements(n: OnnxNode) -> Value:
    """y[.., k, ..] = x[.., index[.., k, ..], ..] along an axis."""
    axis = n.axis()
    return n.aten("gather", n.value(0), axis, _positions(n, n.shape()[axis]))


def gather_nd(n: OnnxNode) -> Value:
    """Parts of x at tuples of positions."""
    if n.attribute("batch_dims", 0):
        n.refuse("batch_dims above 0 is not supported")
    return n.aten("index.Tensor", n.value(0), _tuples(n))


def scatter_elements(n: OnnxNode) -> Value:
    """x with updates at y[.., index[.., k, ..], ..] along an axis."""
    if n.attribute("reduction", "none") != "none":
        n.refuse(f"reduction {n.attribute('reduction')!r} is not supported, only to overwrite")
    axis = n.axis()
    return n.aten("scatter.src", n.value(0), axis, _positions(n, n.shape()[axis]), n.value(2))


def scatter_nd(n: OnnxNode) -> Value:
    """x with parts overwritten at tuples of positions."""
    if n.attribute("reduction", "none") != "none":
        n.refuse(f"reduction {n.attribute('reduction')!r} is not supported, only to overwrite")
    return n.aten("index_put", n.value(0), _tuples(n), n.value(2))


def _positions(n: OnnxNode, size: int) -> torch.Tensor:
    """Constant, those below 0 counted from the end."""
    return n.constant(1, "positions").to(torch.int64) % max(size, 1)


def _tuples(n: OnnxNode) -> list[torch.Tensor]:
    """A tensor of positions for each of the leading axes that they name."""
    positions = n.constant(1, "positions").to(torch.int64)
    return [part % max(size, 1) for part, size in zip(positions.unbind(-1), n.shape(), strict=False)]


def depth_to_space(n: OnnxNode) -> Value:
    """CRD is pixel_shuffle; DCR, the default, has the block's place in front of the channel."""
    r, (batch, channels, height, width) = int(n.attribute("blocksize")), n.shape()
    if n.attribute("mode", "DCR") == "CRD":
        return n.aten("pixel_shuffle", n.value(0), r)
    blocks = n.aten("reshape", n.value(0), [batch, r, r, channels // r**2, height, width])
    return n.aten("reshape", n.aten("permute", blocks, [0, 3, 4, 1, 5, 2]), [batch, channels // r**2, height * r, width * r])


def space_to_depth(n: OnnxNode) -> Value:
    """The inverse of DepthToSpace; ``mode`` as there."""
    r, (batch, channels, height, width) = int(n.attribute("blocksize")), n.shape()
    blocks = n.aten("reshape", n.value(0), [batch, channels, height // r, r, width // r, r])
    order = [0, 1, 3, 5, 2, 4] if n.attribute("mode", "DCR") == "CRD" else [0, 3, 5, 1, 2, 4]
    return n.aten("reshape", n.aten("permute", blocks, order), [batch, channels * r * r, height // r, width // r])


def resize(n: OnnxNode) -> Value:
    """Resize and Upsample of the spatial axes: nearest (asymmetric and floor, or whole factors), and linear (half_pixel or
    align_corners)."""
    x, old = n.value(0), n.shape()
    mode = n.attribute("mode", "nearest")
    place = n.attribute("coordinate_transformation_mode", "half_pixel" if n.opset >= 11 else "asymmetric")
    rounding = n.attribute("nearest_mode", "round_prefer_floor" if n.opset >= 11 else "floor")
    at = 1 if n.opset < 11 else 2
    scales: list[float] | None = n.attribute("scales")
    sizes: list[int] | None = None
    if scales is None and n.get(at) is not None and n.constant(at, "scales").numel():
        scales = n.constant(at, "scales").tolist()
    if n.get(3) is not None and n.opset >= 11:
        sizes = n.constant(3, "sizes").tolist()
    if (axes := n.attribute("axes")) is not None:
        spread: dict[int, float] = dict(zip((axis % len(old) for axis in axes), scales or sizes or (), strict=True))
        scales = [spread.get(axis, 1.0) for axis in range(len(old))] if scales else None
        sizes = [int(spread.get(axis, old[axis])) for axis in range(len(old))] if sizes else None
    n.ignore("extrapolation_value")  # of tf_crop_and_resize alone, which is refused
    if mode != "cubic":
        n.ignore("cubic_coeff_a")
    if n.attribute("keep_aspect_ratio_policy", "stretch") != "stretch" or n.attribute("antialias", 0):
        n.refuse("keep_aspect_ratio_policy and antialias are not supported")
    if sizes is not None:
        new = [int(size) for size in sizes]
    elif scales is not None:
        new = [math.floor(size * s) for size, s in zip(old, scales, strict=True)]
    else:
        n.refuse("neither scales nor sizes")
    if new == list(old):
        return x
    rank = len(old) - 2
    if rank not in (1, 2, 3) or new[:2] != list(old[:2]):
        n.refuse(f"from {old} to {tuple(new)}; supported is resizing the spatial axes, at most three")
    whole = all(size % before == 0 for size, before in zip(new[2:], old[2:], strict=True))
    factors: list[float | None] | None = None if scales is None else [float(s) for s in scales[2:]]
    unknown: list[float | None] = [None] * rank
    if mode == "nearest":
        plain = place == "asymmetric" and rounding == "floor"
        symmetric = whole and (place, rounding) in (("half_pixel", "round_prefer_floor"), ("asymmetric", "floor"))
        if not (plain or symmetric):
            given = f"mode nearest with {place} and {rounding} from {old} to {tuple(new)}"
            n.refuse(f"{given}; supported are asymmetric with floor, and whole factors")
        return n.aten(f"upsample_nearest{rank}d", x, new[2:], *(factors or unknown))
    half = place == "half_pixel" or (place == "pytorch_half_pixel" and 1 not in new[2:])
    cubic = mode == "cubic" and rank == 2 and n.attribute("cubic_coeff_a", -0.75) == -0.75
    cubic = cubic and not n.attribute("exclude_outside", 0)
    if not (cubic or (mode == "linear" and rank <= 2)) or not (half or place == "align_corners"):
        n.refuse(
            f"mode {mode} with {place}, {rank} axes; supported: nearest, linear of at most 2 axes and cubic of 2, with "
            "half_pixel or align_corners"
        )
    if factors is not None and any(math.floor(s * b) != s * b for s, b in zip((scales or [])[2:], old[2:], strict=True)):
        n.refuse(f"mode {mode} with scales {factors} that do not give whole extents of {old}; give sizes")
    name = "upsample_bicubic2d" if cubic else "upsample_linear1d" if rank == 1 else "upsample_bilinear2d"
    return n.aten(name, x, new[2:], place == "align_corners", *(factors or unknown))


Row = Callable[[OnnxNode], Any]
