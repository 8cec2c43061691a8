"""The table of targets: one line each."""

from __future__ import annotations

from dataclasses import dataclass

from lowbit.errors import UnknownTarget
from lowbit.targets.host import host_features, host_machine

__all__ = ["TARGETS", "Target", "find_target"]


@dataclass(frozen=True)
class Target:
    """``features`` are LLVM feature names that kernels may rely on; ``registers`` and
    ``vector_bytes`` size the tiles; ``march`` is what a C compiler is told for the runtime."""

    name: str
    triple: str
    mcpu: str
    features: frozenset[str]
    vector_bytes: int
    registers: int
    l1_bytes: int
    l2_bytes: int
    march: str

    def tvm(self) -> dict[str, object]:
        """The dictionary ``tvm.target.Target`` takes."""
        return {"kind": "llvm", "mtriple": self.triple, "mcpu": self.mcpu, "mattr": [f"+{f}" for f in sorted(self.features)]}


_SSE2 = frozenset({"sse2"})
_AVX2 = _SSE2 | {"avx2", "fma", "ssse3", "sse4.1"}
_AVX512 = _AVX2 | {"avx512f", "avx512bw", "avx512dq", "avx512vl"}
_VNNI = _AVX512 | {"avx512vnni"}
_POPCNT = _VNNI | {"avx512vpopcntdq", "avx512vbmi"}
_LINUX = "x86_64-linux-gnu"

TARGETS: dict[str, Target] = {
    t.name: t
    for t in (
        #      name              triple  mcpu         features  vec regs  L1      L2       march
        Target("x86-64", _LINUX, "x86-64", _SSE2, 16, 16, 32768, 262144, "x86-64"),
        Target("x86-64-v3", _LINUX, "x86-64-v3", _AVX2, 32, 16, 32768, 524288, "x86-64-v3"),
        Target("x86-64-v4", _LINUX, "x86-64-v4", _AVX512, 64, 32, 32768, 1048576, "x86-64-v4"),
        Target("x86-64-v4-vnni", _LINUX, "x86-64-v4", _VNNI, 64, 32, 32768, 1048576, "x86-64-v4"),
        Target("x86-64-v4-vnni-popcnt", _LINUX, "x86-64-v4", _POPCNT, 64, 32, 32768, 1048576, "x86-64-v4"),
    )
}


def find_target(name: str = "native") -> Target:
    """The target of this name; ``native`` is the most capable one this CPU can run.

    Raises UnknownTarget with the list of known names.
    """
    if name == "native":
        if host_machine() == "x86_64":
            runnable = [t for t in TARGETS.values() if t.features <= host_features()]
            if runnable:
                return max(runnable, key=lambda t: len(t.features))
        raise UnknownTarget(f"no native target for a {host_machine()} host; known targets: {', '.join(TARGETS)}")
    if name not in TARGETS:
        raise UnknownTarget(f"unknown target {name!r}; known targets: native, {', '.join(TARGETS)}")
    return TARGETS[name]
