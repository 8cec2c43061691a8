"""The same program in an arena without sharing, every buffer between two canaries that are checked after each call."""

from __future__ import annotations

from dataclasses import replace

from lowbit.lowering.program import Buffer, Program, Ref
from tests.backend.toy import call

__all__ = ["GAP", "guarded"]

GAP = 1024


def guarded(program: Program, canary: int) -> Program:
    """The arena starts as bytes ``canary``.  A further output, float32 [calls], counts the bytes between
    buffers that each call changed."""
    at, places = GAP, {}
    for buffer in program.buffers:
        places[buffer.name] = at
        at += -(-buffer.layout.nbytes // 64) * 64 + GAP

    def home(index: int, offset: int) -> Buffer:
        alive = [
            b for b in program.buffers if b.first <= index <= b.last and b.offset <= offset < b.offset + max(b.layout.nbytes, 1)
        ]
        assert len(alive) == 1, f"call {index}: byte {offset} of the arena belongs to {[b.name for b in alive]}"
        return alive[0]

    def moved(index: int, offset: int) -> int:
        buffer = home(index, offset)
        return places[buffer.name] + offset - buffer.offset

    ends = [0, *(places[b.name] + b.layout.nbytes for b in program.buffers)]
    starts = [*places.values(), at]
    gaps = ", ".join(f"{{{end}, {start}}}" for end, start in zip(ends, starts, strict=True))
    arena, damage = Ref("arena", 0), Ref("output", len(program.output_shapes))
    calls = [call("canary", f"memset(o, {canary}, {at});", o=arena)]
    for index, original in enumerate(program.calls):
        args = tuple(replace(a, offset=moved(index, a.offset)) if a.space == "arena" else a for a in original.args)
        fills = tuple(replace(f, offset=moved(index, f.offset)) for f in original.fills)
        calls.append(replace(original, args=args, fills=fills))  # type: ignore[arg-type]
        check = f"""
            static const long gaps[][2] = {{{gaps}}};
            unsigned char *arena = (unsigned char *)o;
            long count = 0;
            for (unsigned g = 0; g < sizeof gaps / sizeof *gaps; g++)
                for (long i = gaps[g][0]; i < gaps[g][1]; i++) if (arena[i] != {canary}) {{ count++; arena[i] = {canary}; }}
            ((float *)(uintptr_t)x)[{index}] = (float)count;"""
        calls.append(call("check", check, x=damage, o=arena))
    names = (*program.output_names, "damage") if program.output_names else ()
    shapes = (*program.output_shapes, (len(program.calls),))
    types = (*program.types_of_outputs, "float32")
    made = {"output_shapes": shapes, "output_names": names, "output_types": types}
    return replace(program, calls=tuple(calls), buffers=(), arena_bytes=at, **made)
