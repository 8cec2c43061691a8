"""What each kernel computes: frozen, JSON-able descriptions from which TensorIR is generated.

One calling convention for all kernels::

    void kernel(const void *x, const void *r, const void *w, const void *b,
                const float *s, const int32_t *t, void *o, int32_t lo, int32_t hi)

``[lo, hi)`` is a range of the kernel's ``units``, its parallel loop.  Unused pointers are NULL.
No two pointers alias.  Kernels allocate nothing and call nothing.

**Stored integers.**  An activation of at most 8 bits is stored as an unsigned byte, one of 16 bits
as int16: ``q = stored * step + off`` with (step, off) = (1, 0) for u1..u8 and i16, (1, qmin) for
i2..i8, (2, -1) for b1.  Kernels see stored values; the parameters below carry step and off.

**Integer operand** (elementwise, pool, residual): ``v = f32(stored) * step + shift`` with
``shift = off - zero_point``, exact in float32, equals q - zero_point.

**Integer result** of a real value f (float32, in units of the output scale):
``stored = int(clamp(rint(f), lo, hi)) + zero`` with ``lo = qlo - zero_point``,
``hi = qhi - zero_point``, ``zero = zero_point - off`` (all floats in ``s``); for ``sign`` outputs
(b1) ``stored = f >= 0``.  Every product that feeds an add is fenced: no FMA contraction.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

from lowbit.kernels.layout import ELEMENT_BYTES, Layout

if TYPE_CHECKING:
    from lowbit.kernels.conv2d.forms.form import Form

__all__ = [
    "BinarySpec",
    "ConvSpec",
    "CopySpec",
    "DepthwiseSpec",
    "InputSpec",
    "KernelSpec",
    "LutSpec",
    "OutputSpec",
    "PackBitsSpec",
    "PackFieldsSpec",
    "PackPairsSpec",
    "PoolSpec",
    "RunsSpec",
    "SoftmaxSpec",
    "UnarySpec",
    "WinogradSpec",
    "spec_from_json",
]


@dataclass(frozen=True)
class KernelSpec:
    """Base of all specs.  Equal specs share one kernel."""

    kind: ClassVar[str] = ""

    @property
    def units(self) -> int:
        """Length of the parallel loop; kinds without one leave it to the call."""
        raise NotImplementedError

    @property
    def scratch_bytes(self) -> int:
        """Bytes of memory that each thread needs, 64-byte aligned, at ``t``; 0: none."""
        return 0

    @property
    def label(self) -> str:
        """Readable part of the symbol: ``<op>_<act><weight>_<acc>``; the ISA and tile follow it."""
        return self.kind

    @property
    def generator(self) -> tuple[str, ...]:
        """What else than the fields and the generating sources decides which code is generated."""
        return ()

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind, **asdict(self)}

    def digest(self) -> str:
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()

    def symbol(self, target: str) -> str:
        """C symbol of the kernel, e.g. ``conv2d_u8i4_i32_maddubs8_4x16__x86_64_v3__1a2b3c4d``."""
        return f"{self.label}__{target.replace('-', '_').replace('.', '_')}__{self.digest()[:8]}"


def _form(name: str) -> Form:
    from lowbit.kernels.conv2d.forms import find_form  # forms know specs, too

    return find_form(name)


def _floats(name: str) -> bool:
    """Whether a form, which may be unknown here, multiplies floats."""
    from lowbit.kernels.conv2d.forms import FORMS

    return name in FORMS and FORMS[name].element == "f32"


@dataclass(frozen=True)
class ConvSpec(KernelSpec):
    """Dense convolution or linear layer (a linear layer is 1x1 over (n*h*w, c) pixels).

    acc[n] = sum_k stored_x[k] * w[n, k]                    (exact integer; or float32)
    acc    = (acc << acc_shift) + b[n]                       b: int32[N16]; float64[N16] for ``wide``
    f      = f32(acc) * s[n] (+ fence(v_r * s[N16 + 5]))      N16 = out_channels rounded up to ``nr``
    o      = integer result / f itself where dst is f32

    s = [multiplier[N16] | lo, hi, zero, r_step, r_shift, r_multiplier]
    float32: o = clamp(acc + b[n] (+ r), lo, hi), b float32[N16], s = [lo, hi]
    Where dst is f32 and operands are integers: o = f (+ v_r * r_multiplier), clamped to [lo, hi].

    K order: for tap-runs (ky, and kx unless a kernel row is contiguous in memory), then input
    channels; each run is padded to ``k_group`` with zero weights.  Weight panels
    ``[block][step][lane nr][k_group]`` (see pack.py).  ``window``: for grouped convolutions each block of
    ``nr`` output channels reads ``window`` input channels from t[block] on; 0 = all.
    Look-up forms: src holds bytes of several channels (PackFieldsSpec), k_group = 1 such byte, t = the
    table of look_up.py, panels [block][step][lane nr] of bytes.
    Forms of signed bytes: acc = sum_k (stored_x[k] - start) * w[n, k]; b holds the rest.
    A form that does some steps twice: K-steps come from t = [start[blocks + 1] | activation offset of each entry] (packing.py).
    """

    kind: ClassVar[str] = "conv2d"
    op: str  # "conv2d" or "linear": for the name only
    src: Layout
    dst: Layout
    residual: Layout | None
    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    padding: tuple[int, int]  # top, left; the halo of src covers it
    act: str  # text of the QTypes, "f32" for float
    weight: str
    form: str  # a name in the table of forms
    k_group: int  # k values a step consumes
    depth: int  # steps whose products share a narrow accumulator before widening; 0 = whole K
    mr: int  # pixels a tile
    nr: int  # output channels a tile
    m_tiles: int  # pixel tiles a unit
    n_blocks: int  # channel blocks a unit
    acc_shift: int = 0
    wide: bool = False  # accumulate in float64-exact blocks (16-bit operands)
    parts: int = 1  # 2: 16-bit weights as w = 256 * high + low, panels [step][part][nr][k_group]
    sign: bool = False  # b1 output, or one of two values whose threshold is in b (without residual)
    window: int = 0
    start: int = 0  # look-up forms: what their byte sums start from; forms of signed bytes: what is subtracted from inputs

    @property
    def generator(self) -> tuple[str, ...]:
        return _form(self.form).generator

    @property
    def blocks(self) -> int:
        return -(-self.dst.c // self.nr)

    @property
    def tiles(self) -> int:
        return -(-self.dst.pixels // self.mr)

    @property
    def units(self) -> int:
        return -(-self.tiles // self.m_tiles) * -(-self.blocks // self.n_blocks)

    @property
    def label(self) -> str:
        acc = "f32" if _floats(self.form) else "i64" if self.wide else "i32"
        types = self.act if self.act == self.weight == "f32" else self.act + self.weight
        depth = f"_d{self.depth}" if self.depth != 1 else ""
        return f"{self.op}_{types}_{acc}__{self.form}{depth}_{self.mr}x{self.nr}"


@dataclass(frozen=True)
class WinogradSpec(KernelSpec):
    """3x3 convolution with stride 1 as F(m x m, 3 x 3) (Lavin and Gray, "Fast algorithms for convolutional neural
    networks", 2016): the same sums, results and ``b``, ``s`` as :class:`ConvSpec`, in fewer multiplications.

    With p = m + 2 and the integer matrices B, G, A of kernels/winograd/transforms.py, for each tile of p x p inputs
    d and m x m outputs::

        V = B^T d B (+ offset)    U = G w G^T    M[i, j] = sum_c V[i, j, c] * U[i, j, c]
        acc = A^T M A / scale^2

    w: panels [block][3 * ky + kx][step][lane nr][k_group], i8 or f32.  ``offset``: added to each V but V[1, 1],
    which makes it an unsigned byte
    (u8 forms); b then holds, behind the bias, what that adds to A^T M A: int32 [m * m][N16].
    Pairs: M as in PackPairsSpec, from V + ``first`` and V - ``second``; b then also holds what that adds.
    Integers: M modulo 2^32, from which acc follows exactly (proven, transforms.py).
    V and M of a block of ``tb`` tiles and U of ``n_blocks`` channel blocks are in scratch memory; units = tile blocks x
    groups of n_blocks channel blocks.  ``form``, ``depth``, ``mr``, ``nr`` as in ConvSpec, for the sums M.
    """

    kind: ClassVar[str] = "winograd"
    src: Layout
    dst: Layout
    residual: Layout | None
    padding: tuple[int, int]
    act: str
    weight: str
    form: str
    m: int
    k_group: int
    depth: int
    mr: int
    nr: int
    tb: int
    n_blocks: int
    acc_shift: int = 0
    sign: bool = False
    offset: int = 0
    first: int = 0
    second: int = 0

    @property
    def pairs(self) -> bool:
        return _form(self.form).rows > 1

    @property
    def bias_rows(self) -> int:
        """Rows behind the bias."""
        return self.m**2 if self.offset or self.pairs else 0

    @property
    def positions(self) -> int:
        return (self.m + 2) ** 2

    @property
    def generator(self) -> tuple[str, ...]:
        return _form(self.form).generator

    @property
    def blocks(self) -> int:
        return -(-self.dst.c // self.nr)

    @property
    def steps(self) -> int:
        """Rows of a panel; pairs take the channels that are only there for alignment as well."""
        return -(-(self.src.stride if self.pairs else self.src.c) // self.k_group)

    @property
    def tiles(self) -> int:
        return self.dst.n * -(-self.dst.h // self.m) * -(-self.dst.w // self.m)

    @property
    def groups(self) -> int:
        return -(-self.blocks // self.n_blocks)

    @property
    def units(self) -> int:
        return -(-self.tiles // self.tb) * self.groups

    @property
    def element(self) -> str:
        """dtype of V, as in Layout; that of U is signed."""
        element = _form(self.form).element
        return "u8" if element == "i8" else element

    @property
    def words(self) -> int:
        """32-bit words of one tile's V at one position."""
        return self.src.stride * ELEMENT_BYTES[self.element] // 4

    @property
    def pitches(self) -> tuple[int, int, int]:
        """32-bit words from one position to the next in U (of one block), V and M.  A cache line more than
        needed: 36 positions a multiple of 4096 bytes apart would share one set of a level-1 cache."""
        row = self.nr * self.k_group * ELEMENT_BYTES[self.element] // 4
        return (self.steps + (2 if self.pairs else 1)) * row, self.tb * self.words + 16, self.tb * self.nr + 16

    @property
    def scratch_words(self) -> tuple[int, int, int, int]:
        """32-bit words of U, V, M, and of what the sums start from (pairs)."""
        u, v, m = self.pitches
        return self.n_blocks * self.positions * u, self.positions * v, self.positions * m, self.positions * self.tb * self.pairs

    @property
    def scratch_bytes(self) -> int:
        return 4 * sum(self.scratch_words)

    @property
    def label(self) -> str:
        acc = "f32" if _floats(self.form) else "i32"
        types = self.act if self.act == self.weight == "f32" else self.act + self.weight
        depth = f"_d{self.depth}" if self.depth != 1 else ""
        return f"conv2d_{types}_{acc}__winograd{self.m}_{self.form}{depth}_{self.mr}x{self.nr}"


@dataclass(frozen=True)
class DepthwiseSpec(KernelSpec):
    """Depthwise convolution: acc[c] = sum over taps stored_x[c] * w[tap, c], same epilogue and
    ``s``/``b`` layout as ConvSpec with N16 = dst.stride.  Weights: [tap][dst.stride], int8 / int16 /
    float32 by ``form`` ("f32", "i8", "i16"); ``wide``: int16 pairs [tap][high, low][dst.stride], b float64.
    units = rows (n * h)."""

    kind: ClassVar[str] = "depthwise"
    src: Layout
    dst: Layout
    residual: Layout | None
    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    padding: tuple[int, int]
    act: str
    weight: str
    form: str
    acc_shift: int = 0
    wide: bool = False
    sign: bool = False

    @property
    def units(self) -> int:
        return self.dst.n * self.dst.h

    @property
    def label(self) -> str:
        types = self.act if self.act == self.weight == "f32" else self.act + self.weight
        acc = "f32" if self.form == "f32" else "i64" if self.wide else "i32"
        return f"depthwise_conv2d_{types}_{acc}__{self.form}"


@dataclass(frozen=True)
class BinarySpec(KernelSpec):
    """Elementwise over all physical channels, ``fn`` in add, sub, mul, affine, rescale.

    integer: s = [x_step, x_shift, x_mult, r_step, r_shift, r_mult, lo, hi, zero]
      add: f = fence(vx * x_mult) + fence(vr * r_mult)   (sub: the caller negates r_mult)
      mul: f = f32(int32(vx) * int32(vr)) * x_mult
      rescale: f = vx * x_mult
      affine: f = fence(vx * m[c]) + a[c], with m = w (float32[stride]) and a = b (float32[stride])
    float (dst f32): s = [lo, hi]; add, mul; affine: x * w[c] + b[c]; rescale: x; all clamped to [lo, hi].
    ``broadcast``: "none", or "pixel": r has h = w = 1 and n in (1, dst.n), applied to every pixel.
    Mixed dtypes allowed per operand (u8 / i16).  units = rows (n * h).
    """

    kind: ClassVar[str] = "binary"
    fn: str
    src: Layout
    other: Layout | None
    dst: Layout
    broadcast: str = "none"
    sign: bool = False

    @property
    def units(self) -> int:
        return self.dst.n * self.dst.h

    @property
    def label(self) -> str:
        types = self.src.dtype + (self.other.dtype if self.other else "") + "_" + self.dst.dtype
        return f"{self.fn}_{types}"


@dataclass(frozen=True)
class UnarySpec(KernelSpec):
    """float32 only: o = fn(x), ``fn`` a name of graph/ops UNARY or "clamp"; s = the function's parameters in
    the order of kernels/elementwise/parameters.py (clamp: [lo, hi])."""

    kind: ClassVar[str] = "unary"
    fn: str
    src: Layout
    dst: Layout

    @property
    def units(self) -> int:
        return self.dst.n * self.dst.h

    @property
    def label(self) -> str:
        return f"{self.fn}_f32"


@dataclass(frozen=True)
class LutSpec(KernelSpec):
    """o = w[index] over all physical channels; index = stored (u8 source, 256 entries) or
    stored + 32768 (i16 source, 65536 entries); table elements have the dtype of dst (u8, i16, f32)."""

    kind: ClassVar[str] = "lut"
    src: Layout
    dst: Layout

    @property
    def units(self) -> int:
        return self.dst.n * self.dst.h

    @property
    def label(self) -> str:
        return f"lut_{self.src.dtype}_{self.dst.dtype}"


@dataclass(frozen=True)
class PoolSpec(KernelSpec):
    """Pooling over explicit windows: t = [y0[h] | y1[h] | x0[w] | x1[w]] (half-open, within src).

    max: stored maximum, dst dtype = src dtype.   (quantized tensors keep their parameters)
    avg: integer  f = f32(sum of stored * step + shift, exact) * m,  s = [step, shift, lo, hi, zero | m[h*w]]
         float    f = (sum of x) * m,  s = [m[h*w]]
    ``wide``: the sum is float64 (integers: exact up to 2^53), else int32 or float32.
    units = output rows (n * h).
    """

    kind: ClassVar[str] = "pool"
    fn: str  # "max" or "avg"
    src: Layout
    dst: Layout
    sign: bool = False
    wide: bool = False

    @property
    def units(self) -> int:
        return self.dst.n * self.dst.h

    @property
    def label(self) -> str:
        return f"{self.fn}_pool2d_{self.src.dtype}_{self.dst.dtype}{'_f64' if self.wide else ''}"


@dataclass(frozen=True)
class CopySpec(KernelSpec):
    """Strided copy of elements: for i in product(dims): o[dst_offset + sum i*dst_stride] =
    x[src_offset + sum i*src_stride].  dims: ((extent, src_stride, dst_stride), ...), outermost first.
    units = extent of the first dimension."""

    kind: ClassVar[str] = "copy"
    dtype: str
    dims: tuple[tuple[int, int, int], ...]
    src_offset: int
    dst_offset: int
    src_elements: int
    dst_elements: int

    @property
    def units(self) -> int:
        return self.dims[0][0]

    @property
    def label(self) -> str:
        return f"copy_{self.dtype}"


@dataclass(frozen=True)
class RunsSpec(KernelSpec):
    """Copy of contiguous runs, of any geometry: t = [src_offset, dst_offset, run | extent, src_stride,
    dst_stride of ``depth`` dimensions, outermost first]; for i in product(extents):
    o[dst_offset + sum i*dst_stride ...+ run] = x[src_offset + sum i*src_stride ...+ run].

    ``rescale``: integer results of f = v * s[2] instead, s = [step, shift, multiplier, lo, hi, zero].
    units = the first extent, which only the call knows."""

    kind: ClassVar[str] = "runs"
    src: str  # dtypes as in Layout
    dst: str
    depth: int
    rescale: bool = False
    sign: bool = False

    @property
    def label(self) -> str:
        return f"rescale_runs_{self.src}_{self.dst}" if self.rescale else f"copy_runs_{self.dst}"


@dataclass(frozen=True)
class InputSpec(KernelSpec):
    """The user's dense float32 tensor -> dst.  Element (n, h, w, c) is read at the given strides.

    dst f32: copied.  Integer: f = x / s[0] (IEEE division), NaN -> lo; s = [scale, lo, hi, zero];
    ``sign``: stored = x >= 0.  Channels c..stride-1 are written with the image of 0.
    units = rows (n * h)."""

    kind: ClassVar[str] = "input"
    dst: Layout
    strides: tuple[int, int, int, int]  # of n, h, w, c in the user's tensor, in elements
    sign: bool = False

    @property
    def units(self) -> int:
        return self.dst.n * self.dst.h

    @property
    def label(self) -> str:
        return "copy_input_f32" if self.dst.dtype == "f32" else f"quantize_f32_{self.dst.dtype}"


@dataclass(frozen=True)
class OutputSpec(KernelSpec):
    """src -> the user's dense float32 tensor: x = v * s[2], s = [step, shift, scale]; f32 is copied."""

    kind: ClassVar[str] = "output"
    src: Layout
    strides: tuple[int, int, int, int]

    @property
    def units(self) -> int:
        return self.src.n * self.src.h

    @property
    def label(self) -> str:
        return "copy_output_f32" if self.src.dtype == "f32" else f"dequantize_{self.src.dtype}_f32"


@dataclass(frozen=True)
class SoftmaxSpec(KernelSpec):
    """Softmax over the c logical channels of each pixel.

    integer: e_i = w[max_j stored_j - stored_i] (int32 table), p_i = f32(e_i) / f32(sum_j e_j) (IEEE
    division of correctly rounded conversions); dst f32: o = p; integer dst: result of f = p * s[0],
    s = [multiplier, lo, hi, zero].   float: exp(x - max) / sum.
    Channels c..stride-1 of dst get 0.  units = rows (n * h)."""

    kind: ClassVar[str] = "softmax"
    src: Layout
    dst: Layout
    sign: bool = False

    @property
    def units(self) -> int:
        return self.dst.n * self.dst.h

    @property
    def label(self) -> str:
        return f"softmax_{self.src.dtype}_{self.dst.dtype}"


@dataclass(frozen=True)
class PackBitsSpec(KernelSpec):
    """u8 values in {0, 1} -> "bits" layout: bit j of byte i of a pixel is channel 8*i + j; bits of
    channels >= src.c are 0.  dst.stride = bytes a pixel = 4 * ceil(c / 32); dst has src's halo, which
    is packed too.  units = n * hp rows."""

    kind: ClassVar[str] = "pack_bits"
    src: Layout
    dst: Layout

    @property
    def units(self) -> int:
        return self.src.n * self.src.hp


@dataclass(frozen=True)
class PackFieldsSpec(KernelSpec):
    """u8 values of ``bits`` bits -> bytes of ``fields`` channels: o[i] = sum_j x[i + j * dst.c] << (shift + bits * j)
    for i < dst.c = ceil(src.c / fields), channels >= src.c being 0; shift = 8 - bits * fields, which makes a byte
    of four bits the offset of a 16-byte table.  dst has src's halo, which is packed too; its
    stride is a multiple of 16.  units = n * hp rows."""

    kind: ClassVar[str] = "pack_fields"
    src: Layout
    dst: Layout
    fields: int
    bits: int

    @property
    def shift(self) -> int:
        return 8 - self.bits * self.fields

    @property
    def units(self) -> int:
        return self.src.n * self.src.hp


@dataclass(frozen=True)
class PackPairsSpec(KernelSpec):
    """Inputs of forms that multiply sums of pairs (Winograd, "A new algorithm for inner product", 1968, equation 1).

    The channels of a pixel are taken by steps of 2g, g = 4 / element size of dst: a_0 .. a_{g-1}, b_0 .. b_{g-1}.
    o holds a + ``first`` and b - ``second`` (modulo 256 for u8), and behind a pixel's src.stride channels the int32
    -sum (a + first) * (b - second), which is what sums of (a + first + w_b) * (b - second + w_a) start from.
    dst = src's pixels and halo, c = src.stride, stride = c + 4 bytes.  units = n * hp rows."""

    kind: ClassVar[str] = "pack_pairs"
    src: Layout
    dst: Layout
    first: int
    second: int

    @property
    def units(self) -> int:
        return self.src.n * self.src.hp


_KINDS: dict[str, type[KernelSpec]] = {
    cls.kind: cls
    for cls in (
        BinarySpec, ConvSpec, CopySpec, DepthwiseSpec, InputSpec, LutSpec,
        OutputSpec, PackBitsSpec, PackFieldsSpec, PackPairsSpec, PoolSpec, RunsSpec, SoftmaxSpec, UnarySpec, WinogradSpec,
    )
}  # fmt: skip


def spec_from_json(data: dict[str, Any]) -> KernelSpec:
    """Inverse of :meth:`KernelSpec.to_json` (lists become tuples, layouts become Layout)."""
    cls = _KINDS[data["kind"]]
    values: dict[str, Any] = {}
    for f in fields(cls):
        value = data[f.name]
        if isinstance(value, dict):
            value = Layout(**value)
        elif isinstance(value, list):
            value = tuple(tuple(v) if isinstance(v, list) else v for v in value)
        values[f.name] = value
    return cls(**values)
