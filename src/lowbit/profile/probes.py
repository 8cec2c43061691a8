"""Small generated loops, compiled, loaded and timed on all threads of interest."""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lowbit.errors import UnsupportedPrecision
from lowbit.files import scratch_folder
from lowbit.profile.sequences import Finish, Sequence, plain_sequences
from lowbit.targets import Target

__all__ = ["Probe", "cache_sizes", "finish_probes", "multiply_probes", "rates", "read_probes"]

_TRIAL_S = 0.003
_TRIALS = 7
_OPERAND_BYTES = 1 << 18  # of x, w and tables: more than any loop touches of them


@dataclass(frozen=True, eq=False)
class Probe:
    """One loop of the kernel signature.

    ``function``: its PrimFunc, of global symbol ``symbol``; ``work``: what a repetition does (multiply-accumulates,
    bytes, results); ``reads``: bytes each thread reads, of its own memory; ``result_bytes``: room that the results
    (and a residual) need; ``once``: the loop has no repetitions: a call does ``work``.
    """

    symbol: str
    function: Any
    work: float
    floats: bool = False
    reads: int = 0
    result_bytes: int = 1 << 16
    once: bool = False


def multiply_probes(sequence: Sequence, target: Target, name: str) -> list[Probe]:
    """Tiles of one, two and four vectors of output channels: the best one is the peak.  Of a form with a loop of its own that.

    Raises UnsupportedPrecision as :func:`_tiles`."""
    from lowbit.kernels.conv2d.forms import FORMS
    from lowbit.kernels.named import named
    from lowbit.kernels.peak.multiply import STEPS, multiply_loop

    form = FORMS.get(sequence.form)
    if form is not None and form.loop:
        function, work = named(form.loop)(name, target, 1 if sequence.src == "u8" else 2, sequence.parts)
        return [Probe(name, function, work, bool(form.asked))]
    probes = []
    for spec in _tiles(sequence, target):
        symbol = f"{name}_{spec.mr}x{spec.nr}"
        work = STEPS * spec.mr * spec.nr * FORMS[spec.form].k_group
        probes.append(Probe(symbol, multiply_loop(spec, target, symbol), work, FORMS[spec.form].element == "f32"))
    return probes


def _tiles(sequence: Sequence, target: Target) -> list[Any]:
    """ConvSpecs of the sequence with the tiles that the cost model takes for layers of few and many channels.

    Raises UnsupportedPrecision for a form that the table does not know or that no cost model knows on ``target``."""
    from lowbit.kernels.conv2d.forms import find_form
    from lowbit.kernels.conv2d.selection.cost import Workload, fastest
    from lowbit.kernels.conv2d.spec import ConvSpec
    from lowbit.kernels.layout import Layout

    pixels = 960
    form = find_form(sequence.form)
    cost = form.cost(target)
    specs = []
    for vectors in (1, 2, 4):
        channels = -(-vectors * cost.lanes(target) // 16) * 16
        dst = Layout(1, 1, pixels, channels, channels)
        tile = fastest(form.tilings(Workload(dst, 64, parts=sequence.parts, depth=sequence.depth), target.typed))
        src = Layout(1, 1, pixels, form.group, form.group // 8 if sequence.src == "bits" else form.group, sequence.src)
        specs.append(
            ConvSpec(
                op="linear",
                src=src,
                dst=dst,
                kernel=(1, 1),
                stride=(1, 1),
                dilation=(1, 1),
                padding=(0, 0),
                act="",
                weight="",
                form=form.name,
                k_group=form.group,
                depth=sequence.depth,
                mr=tile.mr,
                nr=tile.nr,
                m_tiles=1,
                n_blocks=1,
                wide=sequence.wide,
                parts=sequence.parts,
            )
        )
    return list({(spec.mr, spec.nr): spec for spec in specs}.values())


def finish_probes(finish: Finish, target: Target, name: str) -> list[Probe]:
    """The form's kernel with a K of one step: what remains is writing results.  Raises UnsupportedPrecision for a form whose
    kernels are bracketed: nobody begins or ends here."""
    from lowbit.backend.codegen import prim_func
    from lowbit.kernels.conv2d.forms import FORMS

    if FORMS[finish.form].bracketed:
        raise UnsupportedPrecision(f"how fast {finish.form} writes results is not measured")
    form, plain = FORMS[finish.form], plain_sequences(target, finish.form)[0]
    spec = _tiles(replace(plain, wide=finish.wide), target)[-1]
    pixels = 128 * spec.mr
    dst = replace(spec.dst, w=pixels, c=spec.nr, stride=-(-spec.nr // 16) * 16, dtype=finish.dst)
    residual = replace(dst, dtype=finish.residual) if finish.residual else None
    src = replace(spec.src, w=pixels)
    spec = replace(spec, op=name, src=src, dst=dst, residual=residual, m_tiles=128, sign=finish.sign)
    function, room = prim_func(spec, target), 4 * dst.elements
    work = pixels * spec.nr
    return [Probe(spec.symbol(target.name), function, work, form.element == "f32", result_bytes=room, once=True)]


def read_probes(sizes: Mapping[str, int], threads: int) -> dict[str, Probe]:
    """Level -> a loop over memory of half its size

    ``sizes``: bytes of the caches, by level, inside out, as :func:`cache_sizes` gives them.  L2 is taken for a
    core's own and L3 for all cores'; DRAM is measured on 256 MiB, or on twice a larger cache.
    """
    from lowbit.kernels.peak.read import BLOCK_BYTES, read_loop

    wanted = {"L2": sizes.get("L2", 0) // 2, "L3": sizes.get("L3", 0) // 2 // threads}
    wanted["DRAM"] = max(_DRAM_BYTES, 2 * max(sizes.values())) // threads
    probes, inner = {}, sizes.get("L1", 0)
    for level, nbytes in wanted.items():
        if nbytes > inner:  # else the level before it would answer
            nbytes -= nbytes % BLOCK_BYTES
            symbol = f"read_{level}"
            probes[level] = Probe(symbol, read_loop(symbol), nbytes, reads=nbytes)
        inner = sizes.get(level, 0)
    return probes


def cache_sizes(target: Target) -> dict[str, int]:
    """Bytes of the first core's data caches, "L1", "L2", "L3", as the system reports them; where it does not, the
    target's, and no "L3"."""
    found: dict[str, int] = {}
    for folder in sorted(_CACHES.glob("index*")):
        with suppress(OSError, ValueError):
            level, kind, size = ((folder / name).read_text().strip() for name in ("level", "type", "size"))
            if kind != "Instruction":
                found[f"L{level}"] = int(size.removesuffix("K")) * 1024
    return {"L1": target.l1_bytes, "L2": target.l2_bytes, **found}


_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
_DRAM_BYTES = 256 << 20  # read where no cache is known to be larger than a quarter of it


def rates(probes: list[Probe], target: Target, threads: int) -> dict[str, float]:
    """Symbol -> work a nanosecond of ``threads`` threads together: the best of some trials of milliseconds.

    Raises ToolMissing without a C compiler.
    """
    library = _load(probes, target)
    return {probe.symbol: _rate(getattr(library, probe.symbol), probe, threads) for probe in probes}


def _load(probes: list[Probe], target: Target) -> ctypes.CDLL:
    from lowbit.backend.codegen import compile_function
    from lowbit.backend.runtime_object import emulation_object
    from lowbit.backend.toolchain import find_compiler

    compiler = find_compiler(target)
    with scratch_folder() as folder:
        names = [f"{probe.symbol}.o" for probe in probes]
        for name, probe in zip(names, probes, strict=True):
            (folder / name).write_bytes(compile_function(probe.function, probe.symbol, target).object)
        if target.emulated:
            names.append("emulated.o")
            (folder / names[-1]).write_bytes(emulation_object(compiler, target))
        compiler.run(["-shared", "-o", "probes.so", *names], folder)
        return ctypes.CDLL(str(folder / "probes.so"))


def _arguments(probe: Probe) -> list[np.ndarray]:
    """x, r, w, b, s, t, o of one thread.  Values are small and finite: they cost nothing special."""
    from lowbit.kernels.peak.read import BLOCK_BYTES

    dtype = np.dtype(np.float32 if probe.floats else np.uint8)
    x = np.ones((probe.reads or _OPERAND_BYTES) // dtype.itemsize + 64, dtype)
    w = np.ones(_OPERAND_BYTES // dtype.itemsize, dtype)
    r, o = (np.zeros(probe.result_bytes + 64, np.uint8) for _ in range(2))
    zeros, table = (np.zeros(_OPERAND_BYTES, np.uint8) for _ in range(2))
    table[:4].view(np.int32)[0] = probe.reads // BLOCK_BYTES
    return [x, r, w, zeros, zeros, table, o]


def _rate(function: Callable[..., None], probe: Probe, threads: int) -> float:
    function.argtypes = [ctypes.c_void_p] * 7 + [ctypes.c_int32] * 2  # type: ignore[attr-defined]
    function.restype = None  # type: ignore[attr-defined]
    memory = [_arguments(probe) for _ in range(threads)]
    pointers = [[array.ctypes.data for array in arrays] for arrays in memory]
    if probe.once:
        return probe.work * threads / _call_ns(lambda: function(*pointers[0], 0, 1), lambda: function(*pointers[0], 0, 0))
    repeats = _repetitions(lambda n: function(*pointers[0], 0, n))
    results = [0.0] * threads
    barrier = threading.Barrier(threads)

    def work(index: int) -> None:
        arguments = pointers[index]
        for _ in range(_TRIALS):
            barrier.wait()
            start = time.perf_counter_ns()
            function(*arguments, 0, repeats)
            results[index] = max(results[index], repeats * probe.work / (time.perf_counter_ns() - start))

    others = [threading.Thread(target=work, args=(i,)) for i in range(1, threads)]
    for other in others:
        other.start()
    work(0)
    for other in others:
        other.join()
    return sum(results)


def _repetitions(call: Callable[[int], None]) -> int:
    """How many take about _TRIAL_S, one at least."""
    count = 1
    while True:
        start = time.perf_counter()
        call(count)
        taken = time.perf_counter() - start
        if taken > _TRIAL_S / 4:
            return max(1, round(count * _TRIAL_S / taken))
        count *= 4


def _call_ns(call: Callable[[], None], empty: Callable[[], None]) -> float:
    """Least time of ``call`` less that of ``empty``, which does nothing but be called."""

    def least(f: Callable[[], None]) -> int:
        best = 1 << 62
        for _ in range(200):
            start = time.perf_counter_ns()
            f()
            best = min(best, time.perf_counter_ns() - start)
        return best

    return max(least(call) - least(empty), 1)
