"""MatmulSpec -> TensorIR."""

from __future__ import annotations

from typing import Any

from tvm import tirx
from tvm.script import tirx as T
from tvm.tirx.script import builder as TB

from lowbit.kernels.abi import TIR_DTYPE, kernel_function
from lowbit.kernels.conv2d.loops import hidden
from lowbit.kernels.matmul.forms import FORMS, MatmulForm
from lowbit.kernels.matmul.pack import element
from lowbit.kernels.matmul.spec import MatmulSpec
from lowbit.kernels.rows import divided
from lowbit.kernels.vectors import LANES, convert, first_lanes, integer_result, load, splat, store
from lowbit.targets import Target

__all__ = ["build"]


def build(spec: MatmulSpec, target: Target) -> Any:
    """A unit copies its rows to scratch memory, as they are multiplied, and takes all blocks of columns one after the other."""
    form, src, dst = FORMS[spec.form], spec.src, spec.dst
    dtype = TIR_DTYPE[src.dtype]
    pointers = {
        "x": (dtype, src.elements),
        "w": (form.right, spec.panels.elements),
        "s": ("float32", 8 if dtype != "float32" else 1),
        "o": (TIR_DTYPE[dst.dtype], dst.elements),
        "m": (form.left, spec.mr * spec.pitch),
    }
    with kernel_function(spec.symbol(target.name), **pointers) as k, TB.serial(k.lo, k.hi) as unit:
        image, tile = divided(unit, spec.tiles)
        m0 = TB.Bind(T.min(tile * spec.mr, T.int32(dst.w - spec.mr)))
        nest = _Nest(k, spec, form, target, image, m0)
        nest.copy_rows()
        with TB.serial(spec.panels.h) as block:
            nest.multiply(block)
            nest.write(block)
    return k.func


class _Nest:
    """``rows``: of bytes, one int32 a row that all its sums start from."""

    def __init__(self, k: Any, spec: MatmulSpec, form: MatmulForm, target: Target, image: Any, m0: Any) -> None:
        self.k, self.spec, self.form, self.image, self.m0 = k, spec, form, image, m0
        self.integers = spec.src.dtype != "f32"
        self.lanes, self.step = form.lanes(target), form.step(target)
        self.vectors = spec.nr // self.lanes
        self.columns = form.bytes and spec.shifted
        self.rows: Any = TB.alloc_buffer((spec.mr,), "int32", scope="global") if form.bytes else None
        if form.bytes:
            whole = [T.cast(k.s[i], "int32") for i in range(1, 5)]
            self.x_step, self.w_step = TB.Bind(whole[0]), TB.Bind(whole[2])
            self.x_shift = TB.Bind(whole[1] + self.x_step * form.centre)
            self.w_shift = TB.Bind(whole[3] + self.w_step * 128)
        self.sums = {
            (i, j): TB.alloc_buffer((self.lanes,), form.total, scope="global")
            for i in range(spec.mr + self.columns)
            for j in range(self.vectors)
        }

    def copy_rows(self) -> None:
        """Rows m0 .. m0 + mr - 1 as they are multiplied, zeros behind their end."""
        k, spec, form = self.k, self.spec, self.form
        s = (k.s[1], k.s[2]) if self.integers else None
        chunks, rest = divmod(spec.depth, LANES)
        for i in range(spec.mr):
            at = TB.Bind(spec.src.offset(self.image, 0, self.m0 + i, 0))
            total = TB.alloc_buffer((LANES,), "int32", scope="global") if form.bytes else None
            if total is not None:
                store(total, 0, splat(0, "int32"))

            def copy(c0: Any, valid: int, i: int = i, at: Any = at, total: Any = total) -> None:
                value = element(load(k.x, at + c0), s, form.left, form.centre, LANES)
                value = TB.Bind(first_lanes(value, valid, form.left))
                store(k.m, i * spec.pitch + c0, value)
                if total is not None:
                    store(total, 0, load(total, 0) + convert(value, "int32"))

            if chunks:
                with TB.serial(chunks) as chunk:
                    copy(chunk * LANES, LANES)
            if rest:
                copy(T.int32(chunks * LANES), rest)
            if total is not None:
                folded = total[0]
                for lane in range(1, LANES):
                    folded = folded + total[lane]
                constant = self.x_shift * self.w_shift * spec.depth
                store(self.rows, i, self.x_step * self.w_shift * folded + constant, 1)

    def multiply(self, block: Any) -> None:
        spec, form = self.spec, self.form
        kind = form.total
        for buffer in self.sums.values():
            store(buffer, 0, splat(0, kind, self.lanes) if kind == "int32" else splat(0.0, kind, self.lanes), self.lanes)
        elements = self.lanes * form.group
        with TB.serial(hidden(spec.panels.w)) as number:
            base = TB.Bind(spec.panels.offset(self.image, block, number, 0))
            right = [TB.Bind(load(self.k.w, base + j * elements, elements)) for j in range(self.vectors)]
            for i in range(spec.mr + self.columns):
                left = TB.Bind(self._ones() if i == spec.mr else self._spread(i * spec.pitch + number * form.group))
                for j in range(self.vectors):
                    buffer = self.sums[i, j]
                    store(buffer, 0, self.step(load(buffer, 0, self.lanes), left, right[j]), self.lanes)

    def _spread(self, at: Any) -> Any:
        """The values of a step in every lane."""
        form, lanes, m = self.form, self.lanes, self.k.m
        if form.group == 1:
            return T.broadcast(m[at], lanes)
        word = T.reinterpret("int32", load(m, at, form.group))
        return T.reinterpret(f"{form.left}x{lanes * form.group}", T.broadcast(word, lanes))

    def _ones(self) -> Any:
        return splat(getattr(T, self.form.left)(1), self.form.left, self.lanes * self.form.group)

    def _whole(self, i: int, chunk: int) -> Any:
        """Sixteen sums of row i."""
        per = LANES // self.lanes if self.lanes < LANES else 1
        parts = [load(self.sums[i, chunk * per + j], 0, self.lanes) for j in range(per)]
        return parts[0] if per == 1 else tirx.Shuffle(parts, [tirx.IntImm("int32", n) for n in range(LANES)])

    def write(self, block: Any) -> None:
        k, spec, form = self.k, self.spec, self.form
        dtype = TIR_DTYPE[spec.dst.dtype]
        zero = TB.Bind(T.cast(k.s[7], "int32")) if self.integers else None
        for chunk in range(spec.nr // LANES):
            beside = None
            if self.columns:
                beside = TB.Bind(self._whole(spec.mr, chunk) * splat(self.x_shift * self.w_step, "int32"))
            for i in range(spec.mr):
                total = self._whole(i, chunk)
                if form.bytes:
                    total = total * splat(self.x_step * self.w_step, "int32") + splat(self.rows[i], "int32")
                    total = total if beside is None else total + beside
                f = convert(total, "float32") * splat(k.s[0], "float32")
                at = spec.dst.offset(self.image, 0, self.m0 + i, block * spec.nr + chunk * LANES)
                store(k.o, at, integer_result(f, k.s[5], k.s[6], zero, dtype, spec.sign) if self.integers else f)
