"""A Program as text that can be read and compared."""

from __future__ import annotations

from lowbit.kernels.layout import Layout
from lowbit.lowering.program import Program, Ref

__all__ = ["print_program"]

_POINTERS = "xrwbsto"


def _layout(layout: Layout) -> str:
    halo = f" halo {layout.top},{layout.left},{layout.bottom},{layout.right}" if layout.halo else ""
    channels = f"{layout.c}" if layout.c == layout.stride else f"{layout.c}/{layout.stride}"
    return f"{layout.dtype} {layout.n}x{layout.h}x{layout.w}x{channels}{halo}"


def _ref(ref: Ref) -> str:
    return f"{ref.space}[{ref.offset}]" if ref.space in ("input", "output") else f"{ref.space}+{ref.offset}"


def print_program(program: Program, symbol_target: str = "") -> str:
    """Buffers with their place in the arena, weights with their form, calls in order."""
    lines = [
        f"program {program.name}: {len(program.calls)} calls, {len(program.specs)} kernels, "
        f"arena {program.arena_bytes} B, weights {program.weight_bytes} B in memory, constants {len(program.constants)} B, "
        f"tables {len(program.tables)} B"
    ]
    for b in program.buffers:
        lines.append(f"  buffer {b.name}: {_layout(b.layout)} = {b.layout.nbytes} B at {b.offset}, calls {b.first}..{b.last}")
    for w in program.weights:
        p = w.packing
        lines.append(
            f"  weights {w.layer}: {w.values.size} x {w.qtype} in {w.container} bits -> {p.scheme} {p.element} "
            f"[{p.blocks}][{p.steps}]{f'[{p.parts}]' if p.parts > 1 else ''}[{p.nr}][{p.k_group}] = {p.nbytes} B at {w.offset}"
        )
    for index, call in enumerate(program.calls):
        args = " ".join(f"{p}={_ref(a)}" for p, a in zip(_POINTERS, call.args, strict=True) if a.space != "null")
        name = call.spec.symbol(symbol_target) if symbol_target else call.spec.label
        lines.append(f"  {index:3d} {call.layer}: {name} units={call.units} macs={call.macs} {args}")
        for fill in call.fills:
            what = "whole" if fill.whole else "halo"
            lines.append(f"        fill {what} of {_layout(fill.layout)} at {fill.offset} with {fill.value}")
    return "\n".join(lines) + "\n"
