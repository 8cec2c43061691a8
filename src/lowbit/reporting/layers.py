"""Per layer: what it claims, what its bytes say, and what its machine code does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from typing import TYPE_CHECKING, Any

from rich.table import Table

from lowbit.errors import ConfigError
from lowbit.kernels.spec import KernelSpec, spec_from_json
from lowbit.reporting.instructions import Instruction, LoopWork, loop_work
from lowbit.reporting.machine_code import Function, disassemble
from lowbit.targets import Target, find_target

if TYPE_CHECKING:
    from lowbit.runtime.compiled import Compiled

__all__ = ["LayerReport", "layer_reports", "layer_table", "matching"]


@dataclass(frozen=True)
class LayerReport:
    """One kernel call.

    ``weight_bytes``: its share of the weight file, ``weight_values`` weights from ``weight_offset`` on.
    ``loop``: the hot loop of the kernel in the artifact's own library, () if it is not there.
    """

    name: str
    act: str
    weight: str
    container: int
    weight_offset: int
    weight_bytes: int
    weight_values: int
    macs: int
    spec: KernelSpec
    symbol: str
    object_sha256: str
    loop: tuple[Instruction, ...]

    @property
    def bits_stored(self) -> float | None:
        """Bits a weight takes on disk, from the bytes; None without weights."""
        return 8 * self.weight_bytes / self.weight_values if self.weight_values else None

    @cached_property
    def work(self) -> LoopWork:
        """What the hot loop does."""
        return loop_work(self.loop)


def layer_reports(compiled: Compiled, pattern: str = "") -> list[LayerReport]:
    """Reports of the layers that ``pattern`` matches (see :func:`matching`), in order of execution.

    Raises ToolMissing without objdump, ConfigError when nothing matches.
    """
    functions = disassemble(compiled.section("library.so"))
    target = find_target(compiled.manifest["target"])
    return [_report(entry, functions, target) for entry in matching(compiled.manifest, pattern)]


def matching(manifest: Mapping[str, Any], pattern: str) -> list[Mapping[str, Any]]:
    """Entries of the manifest's layers whose name is, or matches the glob, ``pattern``; "" = all.
    Raises ConfigError naming the layers there are."""
    layers = list(manifest["layers"])
    chosen = [entry for entry in layers if not pattern or entry["name"] == pattern or fnmatchcase(entry["name"], pattern)]
    if not chosen:
        raise ConfigError(f"no layer {pattern!r}; layers: {', '.join(dict.fromkeys(entry['name'] for entry in layers))}")
    return chosen


def _report(entry: Mapping[str, Any], functions: Mapping[str, Function], target: Target) -> LayerReport:
    spec = spec_from_json(entry["spec"])
    symbol = spec.symbol(target.name)
    return LayerReport(
        name=entry["name"],
        act=entry["act"],
        weight=entry["weight"],
        container=entry["container"],
        weight_offset=entry["weight_offset"],
        weight_bytes=entry["weight_bytes"],
        weight_values=entry["weight_values"],
        macs=entry["macs"],
        spec=spec,
        symbol=symbol,
        object_sha256=entry["object_sha256"],
        loop=functions[symbol].hot_loop() if symbol in functions else (),
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
        stored = "" if r.bits_stored is None else f"{r.bits_stored:.2f}"
        types = r.act + (f" x {r.weight}" if r.weight else "")
        table.add_row(
            r.name, types, stored, f"{r.weight_bytes:,}" if r.weight_bytes else "", f"{r.macs / 1e6:.1f}" if r.macs else "",
            r.spec.label, str(r.work), str(r.work.float),
        )  # fmt: skip
    return table
