"""One network in many configurations for a machine that is not here: compiled, run under QEMU, checked, counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lowbit.backend.table import obstacle
from lowbit.bench import BenchPlan, prepare
from lowbit.emulate.result import Emulation
from lowbit.emulate.user import TIMEOUT, emulate_user
from lowbit.files import scratch_folder
from lowbit.measure.size import bytes_on_disk
from lowbit.targets import find_target

if TYPE_CHECKING:
    from rich.table import Table

    from lowbit.runtime.compiled import Compiled

__all__ = ["EmulatedRow", "emulated_table", "is_emulated", "run_emulated_bench"]


@dataclass(frozen=True)
class EmulatedRow:
    """``bytes``: of the artifact on disk."""

    config: str
    bytes: int
    macs: int
    emulation: Emulation

    def to_json(self) -> dict[str, Any]:
        return {"config": self.config, "bytes": self.bytes, "macs": self.macs, **self.emulation.to_json()}


def is_emulated(target: str) -> bool:
    """Whether ``target`` does not run here, and QEMU has a CPU for it."""
    found = find_target(target)
    return bool(found.qemu_cpu and obstacle(found))


def run_emulated_bench(
    plan: BenchPlan, say: Callable[[str], None] = lambda _: None, timeout: float = TIMEOUT
) -> tuple[list[EmulatedRow], dict[str, Compiled]]:
    """A row for each configuration of ``plan``, and the networks; ``say`` hears one line about each step.

    Raises what compiling and emulate_user raise.
    """
    given = prepare(plan, say)
    rows: list[EmulatedRow] = []
    networks: dict[str, Compiled] = {}
    with scratch_folder() as folder:
        for name in plan.configs:
            network, _ = given.compile(name)
            networks[name] = network
            size = bytes_on_disk(network.save(folder / "network.lowbit"))
            done = emulate_user(network, [given.inputs[0]], runs=plan.runs, threads=plan.threads, timeout=timeout)
            rows.append(EmulatedRow(name, size, network.manifest["macs"], done))
            say(f"{name}: {done.verdict}")
    return rows, networks


def emulated_table(network: str, rows: list[EmulatedRow]) -> Table:
    """Sizes, counts and times; what is not known stays empty."""
    from rich.table import Table

    first = rows[0].emulation
    table = Table(title=f"{network} for {first.target} under {first.where}; estimate: llvm-mca, from L1, one thread")
    headings = ("bytes on disk", "MACs", "instructions", "per MAC", "estimate ms", "emulated ms", "exact")
    table.add_column("config")
    for heading in headings:
        table.add_column(heading, justify="right")
    for row in rows:
        done = row.emulation
        count = done.instructions
        table.add_row(
            row.config,
            f"{row.bytes:,}",
            f"{row.macs:,}",
            "" if count is None else f"{count:,}",
            "" if count is None or not row.macs else f"{count / row.macs:.3f}",
            "" if done.estimated_ms is None else f"{done.estimated_ms:,.1f}",
            f"{done.times['median_ms']:,.1f}",
            {None: "n/a", True: "yes", False: "NO"}[done.verdict.exact],
        )
    return table
