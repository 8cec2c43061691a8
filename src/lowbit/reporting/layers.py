"""Per layer: what it claims, what its bytes say, and what its machine code does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from functools import cached_property
from typing import TYPE_CHECKING, Any

from rich.table import Table

from lowbit.errors import ConfigError
from lowbit.kernels.spec import KernelSpec
from lowbit.reporting.gpu_code import gpu_functions, has_nvdisasm
from lowbit.reporting.instructions import LoopWork, loop_work
from lowbit.reporting.machine_code import Function, disassemble
from lowbit.targets import Target

if TYPE_CHECKING:
    from lowbit.runtime.compiled import Compiled

__all__ = ["LayerReport", "StoredWeights", "layer_reports", "layer_table", "matching"]


@dataclass(frozen=True)
class StoredWeights:
    """``values`` fields of ``container`` bits, ``bytes`` bytes from ``offset`` of weights.bin on."""

    qtype: str
    container: int
    values: int
    offset: int
    bytes: int

    @property
    def bits_stored(self) -> float:
        """Bits a weight takes on disk, from the bytes."""
        return 8 * self.bytes / self.values


@dataclass(frozen=True)
class LayerReport:
    """One kernel call.

    ``act``, ``weight``: texts of QTypes, "f32", or "" where the kernel has none.  ``weights``: its share
    of the weight file, None without one.  ``function``: the kernel in the artifact's own library, None if
    it is not there.
    """

    name: str
    act: str
    weight: str
    weights: StoredWeights | None
    macs: int
    spec: KernelSpec
    symbol: str
    object_sha256: str
    function: Function | None

    @property
    def types(self) -> str:
        """``u8 x i4``, or "" for a kernel without weights."""
        return f"{self.act} x {self.weight}" if self.weight else self.act

    @cached_property
    def work(self) -> LoopWork:
        """What the hot loop does."""
        return loop_work(self.function.hot_loop() if self.function else ())


def layer_reports(compiled: Compiled, pattern: str = "") -> list[LayerReport]:
    """Reports of the layers that ``pattern`` matches (see :func:`matching`), in order of execution.

    Without nvdisasm there are no functions of GPUs.  Raises ToolMissing without objdump, ConfigError when nothing matches.
    """
    library = compiled.section("library.so")
    functions = disassemble(library) if not compiled.target.arch else gpu_functions(library) if has_nvdisasm() else {}
    return [_report(entry, spec, functions, compiled.target) for entry, spec in matching(compiled, pattern)]


def matching(compiled: Compiled, pattern: str) -> list[tuple[dict[str, Any], KernelSpec]]:
    """Entries of the manifest's layers whose name is, or matches the glob, ``pattern``, "" = all; and their specs.
    Raises ConfigError naming the layers there are, ArtifactError as ``Compiled.specs``."""
    layers = compiled.layers
    chosen = [
        (entry, spec)
        for entry, spec in zip(layers, compiled.specs, strict=True)
        if not pattern or entry["name"] == pattern or fnmatchcase(entry["name"], pattern)
    ]
    if not chosen:
        raise ConfigError(f"no layer {pattern!r}; layers: {', '.join(dict.fromkeys(entry['name'] for entry in layers))}")
    return chosen


def _report(entry: Mapping[str, Any], spec: KernelSpec, functions: Mapping[str, Function], target: Target) -> LayerReport:
    symbol, weights = spec.symbol(target.name), entry["weights"]
    return LayerReport(
        name=entry["name"],
        act=entry["act"] or "",
        weight=entry["weight"] or "",
        weights=weights and StoredWeights(**{f.name: weights[f.name] for f in fields(StoredWeights)}),
        macs=entry["macs"],
        spec=spec,
        symbol=symbol,
        object_sha256=entry["object_sha256"],
        function=functions.get(symbol),
    )


def layer_table(title: str, reports: list[LayerReport]) -> Table:
    """One line a kernel call."""
    table = Table(title=title)
    for heading, right in (
        ("layer", False), ("types", False), ("bits stored", True), ("weight bytes", True), ("MMAC", True),
        ("kernel", False), ("hot loop", False), ("float in it", True),
    ):  # fmt: skip
        table.add_column(heading, justify="right" if right else "left", overflow="fold")
    for r in reports:
        table.add_row(
            r.name, r.types, f"{r.weights.bits_stored:.2f}" if r.weights else "", f"{r.weights.bytes:,}" if r.weights else "",
            f"{r.macs / 1e6:.1f}" if r.macs else "",
            r.spec.label, str(r.work), str(r.work.float),
        )  # fmt: skip
    return table
