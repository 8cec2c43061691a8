"""The generated code of every configuration, as files to read and to compare."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lowbit.files import write_whole
from lowbit.reporting.gpu_code import gpu_stage
from lowbit.reporting.kernel_texts import GPU_STAGES, KERNEL_STAGES, kernel_text
from lowbit.reporting.layers import LayerReport, layer_reports
from lowbit.reporting.stages import stage_text

if TYPE_CHECKING:
    from lowbit.runtime.compiled import Compiled

__all__ = ["folder_name", "write_code"]


def folder_name(config: str) -> str:
    """``4/int8`` -> ``4-int8``: the name of a configuration as a folder."""
    return config.replace("/", "-")


def write_code(networks: Mapping[str, Compiled], folder: Path) -> None:
    """For every configuration: ``INDEX.md``, ``graph.txt``, ``program.txt``, and of each distinct kernel
    its TensorIR, LLVM IR and assembly (of GPUs CUDA C, PTX and machine code); ``INDEX.md`` above them lists the
    configurations."""
    lines = ["# Generated code", "", "| configuration | kernels | layers |", "| --- | ---: | ---: |"]
    for config, compiled in networks.items():
        reports = layer_reports(compiled)
        place = folder / folder_name(config)
        place.mkdir(parents=True, exist_ok=True)
        _write_kernels(compiled, reports, place)
        for stage in ("graph", "program"):
            write_whole(place / f"{stage}.txt", stage_text(compiled, stage))
        write_whole(place / "INDEX.md", _index(config, reports, _endings(compiled)))
        kernels = len({r.symbol for r in reports})
        lines.append(f"| [{config}]({folder_name(config)}/INDEX.md) | {kernels} | {len(reports)} |")
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / "INDEX.md", "\n".join(lines), "\n")


def _write_kernels(compiled: Compiled, reports: list[LayerReport], place: Path) -> None:
    kept = {stage: gpu_stage(compiled, stage) for stage in _endings(compiled) if stage not in KERNEL_STAGES}
    for spec, symbol in {r.spec: r.symbol for r in reports}.items():
        for stage, ending in _endings(compiled).items():
            text = kept[stage](symbol) if stage in kept else kernel_text(spec, compiled.target, stage)
            write_whole(place / f"{symbol}{ending}", text)


def _endings(compiled: Compiled) -> dict[str, str]:
    """Stage of its kernels -> ending of the file."""
    return GPU_STAGES if compiled.target.arch else {stage: ending for stage, (_, ending) in KERNEL_STAGES.items()}


def _index(config: str, reports: list[LayerReport], endings: Mapping[str, str]) -> str:
    lines = [f"# {config}", "", "[graph](graph.txt), [program](program.txt)", ""]
    lines += ["| kernel | layers | MMAC | hot loop | float instructions in it | code |"]
    lines += ["| --- | --- | ---: | --- | ---: | --- |"]
    uses: dict[str, list[LayerReport]] = {}
    for report in reports:
        uses.setdefault(report.symbol, []).append(report)
    for symbol, group in uses.items():
        code = ", ".join(f"[{stage}]({symbol}{ending})" for stage, ending in endings.items())
        names = ", ".join(dict.fromkeys(r.name for r in group))
        macs = sum(r.macs for r in group) / 1e6
        lines.append(f"| `{group[0].spec.label}` | {names} | {macs:.1f} | {group[0].work} | {group[0].work.float} | {code} |")
    return "\n".join(lines) + "\n"
