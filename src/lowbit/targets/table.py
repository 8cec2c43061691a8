"""The table of targets: one line each."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from lowbit.errors import ConfigError, UnknownTarget
from lowbit.progress import notice
from lowbit.targets.costs import nearest_costs
from lowbit.targets.gpu import host_gpus
from lowbit.targets.host import denied, host_cpu, host_features, host_machine, obstacle

__all__ = ["EMULATED", "TARGETS", "TARGET_NAME", "TECHNIQUES", "Target", "find_target", "native_costs", "techniques"]

# ways to compute a convolution that experiments may switch off (``Target.without``)
TECHNIQUES = {
    "winograd": "Winograd's algorithm for 3 x 3 kernels",
    "pairs": "two products in one multiplication",
    "look-up": "products of narrow numbers out of tables",
    "bits": "products of single bits by logic and counting",
    "vnni": "the instruction that sums four products of bytes",
    "amx": "products of tiles of bytes",
}


EMULATED = ("amx-bf16", "amx-int8", "amx-tile")
"""Features that a target may have emulated: backend/emulated_c has functions for their instructions."""

TARGET_NAME = r"[A-Za-z0-9][\w.-]*"
"""What names, triples and features look like, as a regular expression."""


@dataclass(frozen=True)
class Target:
    """``features`` are LLVM feature names that kernels may rely on, of a GPU names of PTX instructions; ``registers`` and
    ``vector_bytes`` size the tiles; ``march`` is what a C compiler is told for the runtime.

    What reports need to estimate a machine that is not here, 0 or "" where the target is no certain machine:
    ``clock_hz``, ``cores``, ``memory_bytes`` of the board, and the CPU's names in llvm-mca and in QEMU.

    ``emulated``: features that kernels may use and the CPU need not have: their instructions are calls of C functions
    (backend/emulated_c), for tests.  No such target is ever ``native``.

    ``without``: names in TECHNIQUES that no kernel may use; for experiments.  ``costs``: the file of fitted costs by which
    kernels are chosen (targets/costs.py), "" = as typed.  Neither changes what a kernel is.

    Raises ConfigError for a name, triple, feature or file that is none: they become names of functions, options and programs;
    and for a feature that nobody emulates: LLVM would end the process."""

    name: str
    triple: str
    mcpu: str
    features: frozenset[str]
    vector_bytes: int
    registers: int
    l1_bytes: int
    l2_bytes: int
    march: str
    clock_hz: int = 0
    cores: int = 0
    memory_bytes: int = 0
    mca_cpu: str = ""
    qemu_cpu: str = ""
    emulated: frozenset[str] = frozenset()
    without: frozenset[str] = frozenset()
    costs: str = ""

    def __post_init__(self) -> None:
        named = [("name", self.name), ("triple", self.triple), *(("feature", feature) for feature in self.instructions)]
        for what, text in [*named, *([("costs", self.costs)] if self.costs else [])]:
            if not re.fullmatch(TARGET_NAME, text):
                raise ConfigError(f"target {self.name!r}: the {what} {text!r} is not of letters, digits, '.', '_' and '-'")
        if unknown := sorted(self.emulated - set(EMULATED)):
            raise ConfigError(f"target {self.name!r}: {', '.join(unknown)} cannot be emulated; what can: {', '.join(EMULATED)}")

    @property
    def machine(self) -> str:
        """The architecture: ``x86_64``, ``aarch64``, or ``cuda`` for GPUs."""
        return self.triple.split("-")[0]

    @property
    def arch(self) -> str:
        """Of a GPU, what NVRTC is told: ``sm_80``; "" of a CPU."""
        return self.mcpu if self.machine == "cuda" else ""

    @property
    def instructions(self) -> frozenset[str]:
        """Features that kernels may use: the CPU's, and those that are emulated."""
        return self.features | self.emulated

    @property
    def capability(self) -> tuple[int, int]:
        """Of a GPU: (8, 0) of sm_80."""
        major, minor = divmod(int(self.arch.removeprefix("sm_")), 10)
        return major, minor

    @property
    def typed(self) -> Target:
        """The same without fitted costs: for whoever chooses nothing, and may not have the file that a network was made with."""
        return replace(self, costs="")

    @property
    def machine_json(self) -> dict[str, Any]:
        """What decides which code a kernel becomes: :meth:`to_json` without what only chooses kernels."""
        return {key: value for key, value in self.to_json().items() if key not in _CHOOSING}

    def to_json(self) -> dict[str, Any]:
        """All fields; sets as sorted lists."""
        return {key: sorted(value) if isinstance(value, frozenset) else value for key, value in asdict(self).items()}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Target:
        """Inverse of :meth:`to_json`."""
        values: dict[str, Any] = {key: frozenset(value) if isinstance(value, list) else value for key, value in data.items()}
        return Target(**values)


_CHOOSING = ("without", "costs")

_SSE2 = frozenset({"sse2"})
_AVX2 = _SSE2 | {"avx2", "fma", "ssse3", "sse4.1"}
_AVX_VNNI = _AVX2 | {"avxvnni"}
_AVX512 = _AVX2 | {"avx512f", "avx512bw", "avx512dq", "avx512vl"}
_VNNI = _AVX512 | {"avx512vnni"}
_POPCNT = _VNNI | {"avx512vpopcntdq", "avx512vbmi"}
_TILES = frozenset({"amx-tile", "amx-int8"})
_FLOAT_TILES = _TILES | {"amx-bf16"}
_NEON = frozenset({"neon"})
_DOTPROD = _NEON | {"dotprod"}
# of GPUs, by the PTX instructions that kernels may use
_SM75 = frozenset({"cuda", "dp4a", "ldmatrix", "mma8816", "s4_mma8832", "b1_xor", "mma1688_f16"})
_SM90 = frozenset({"cuda", "dp4a", "ldmatrix", "cp_async", "mma8816", "mma16832", "b1_and", "mma16816_f16"})
_SM80 = _SM90 | {"s4_mma16864"}
_LINUX, _ARM_LINUX, _CUDA = "x86_64-linux-gnu", "aarch64-linux-gnu", "cuda-nvidia-linux"
_MHZ, _GIB = 1_000_000, 1 << 30

TARGETS: dict[str, Target] = {
    t.name: t
    for t in (
        #      name              triple  mcpu         features  vec regs  L1      L2       march
        Target("x86-64", _LINUX, "x86-64", _SSE2, 16, 16, 32768, 262144, "x86-64"),
        Target("x86-64-v3", _LINUX, "x86-64-v3", _AVX2, 32, 16, 32768, 524288, "x86-64-v3"),
        Target("x86-64-v3-vnni", _LINUX, "x86-64-v3", _AVX_VNNI, 32, 16, 32768, 1048576, "x86-64-v3"),
        Target("x86-64-v4", _LINUX, "x86-64-v4", _AVX512, 64, 32, 32768, 1048576, "x86-64-v4"),
        Target("x86-64-v4-vnni", _LINUX, "x86-64-v4", _VNNI, 64, 32, 32768, 1048576, "x86-64-v4"),
        Target("x86-64-v4-vnni-popcnt", _LINUX, "x86-64-v4", _POPCNT, 64, 32, 32768, 1048576, "x86-64-v4"),
        # Intel's servers from Sapphire Rapids on
        Target("x86-64-v4-amx", _LINUX, "x86-64-v4", _POPCNT | _TILES, 64, 32, 49152, 2097152, "x86-64-v4"),
        Target("x86-64-v4-amx-bf16", _LINUX, "x86-64-v4", _POPCNT | _FLOAT_TILES, 64, 32, 49152, 2097152, "x86-64-v4"),
        # the same kernels on any CPU with AVX2, for tests
        Target("x86-64-v3-amx-emulated", _LINUX, "x86-64-v3", _AVX2, 32, 16, 32768, 524288, "x86-64-v3", emulated=_FLOAT_TILES),
        # the last five: clock, cores, memory of the board, llvm-mca's name (the A76 has no model of its own), QEMU's name
        Target("aarch64", _ARM_LINUX, "generic", _NEON, 16, 32, 32768, 524288, "armv8-a", 0, 0, 0, "cortex-a53", "cortex-a53"),
        Target(
            "raspberry-pi-3", _ARM_LINUX, "cortex-a53", _NEON, 16, 32, 32768, 524288, "armv8-a+crc",
            1200 * _MHZ, 4, 1 * _GIB, "cortex-a53", "cortex-a53",
        ),
        Target(
            "raspberry-pi-4", _ARM_LINUX, "cortex-a72", _NEON, 16, 32, 32768, 1048576, "armv8-a+crc",
            1500 * _MHZ, 4, 4 * _GIB, "cortex-a72", "cortex-a72",
        ),
        Target(
            "raspberry-pi-5", _ARM_LINUX, "cortex-a76", _DOTPROD, 16, 32, 65536, 524288, "armv8.2-a+dotprod",
            2400 * _MHZ, 4, 4 * _GIB, "neoverse-n1", "cortex-a76",
        ),
        # GPUs: registers of a thread, shared memory of a multiprocessor and the level-2 cache of the smallest card
        Target("cuda-sm75", _CUDA, "sm_75", _SM75, 16, 255, 65536, 4194304, ""),
        Target("cuda-sm80", _CUDA, "sm_80", _SM80, 16, 255, 102400, 4194304, ""),
        Target("cuda-sm90", _CUDA, "sm_90", _SM90, 16, 255, 233472, 52428800, ""),
    )
}  # fmt: skip


def techniques(text: str) -> frozenset[str]:
    """Names of TECHNIQUES, separated by commas.  Raises ConfigError for another name."""
    names = frozenset(name.strip() for name in text.split(",") if name.strip())
    if unknown := names - set(TECHNIQUES):
        raise ConfigError(f"no technique {', '.join(sorted(unknown))}; those that can be switched off: {', '.join(TECHNIQUES)}")
    return names


def find_target(name: str = "native") -> Target:
    """The target of this name; ``native`` is the most capable one this CPU can run, by the features it reports, with the
    costs fitted for the CPU nearest to this one.  Where the system denies a more capable one, a note says so.

    The environment variable LOWBIT_WITHOUT, e.g. "winograd,pairs", switches techniques off, for experiments.
    Raises UnknownTarget with the list of known names, ConfigError for an unknown technique.
    """
    without = techniques(os.environ.get("LOWBIT_WITHOUT", ""))
    return replace(_named(name), without=without) if without else _named(name)


def native_costs(target: Target) -> str:
    """The costs fitted for kernels of ``target`` on the CPU nearest to this one; "" = none are."""
    alike = [t.name for t in TARGETS.values() if (t.machine, t.vector_bytes) == (target.machine, target.vector_bytes)]
    return nearest_costs(host_cpu(), target.name, alike)


def _named(name: str) -> Target:
    if name == "native":
        runnable = [target for target in TARGETS.values() if not target.emulated and not obstacle(target)]
        if runnable:
            best = max(runnable, key=lambda t: len(t.features))
            abler = [t for t in TARGETS.values() if t.features > best.features and t.features <= host_features() and denied(t)]
            if abler:
                missed = max(abler, key=lambda t: len(t.features))
                notice(f"denied {missed.name}", f"kernels are made for {best.name}, not for {missed.name}{denied(missed)}")
            return replace(best, costs=native_costs(best))
        raise UnknownTarget(f"no native target for a {host_machine()} host; known targets: {', '.join(TARGETS)}")
    if name == "cuda":
        return _of_gpu()
    if name not in TARGETS:
        raise UnknownTarget(f"unknown target {name!r}; known targets: native, {', '.join(TARGETS)}, cuda")
    return TARGETS[name]


def _of_gpu() -> Target:
    """The most capable target that the first GPU of this machine runs."""
    gpus, why = host_gpus()
    named = [target for target in TARGETS.values() if target.arch]
    names = ", ".join(target.name for target in named)
    if not gpus:
        raise UnknownTarget(f"target 'cuda' is the GPU of this machine, and {why}; to compile for another one, name it: {names}")
    able = [target for target in named if target.capability <= gpus[0].capability]
    if not able:
        raise UnknownTarget(f"target 'cuda' is {gpus[0].name} ({gpus[0].arch}), which is older than all of {names}")
    return max(able, key=lambda target: target.capability)
