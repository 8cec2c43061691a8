"""``lowbit bench``: many configurations of one network: checked, timed, shown."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lowbit.cli.console import note, notes_for_warnings, results
from lowbit.cli.files import write_json
from lowbit.errors import ConfigError
from lowbit.files import check_folder, check_writable

if TYPE_CHECKING:
    from lowbit.bench import BenchPlan

__all__ = ["ALL", "command"]

ALL = "fp32,16/int16,8/int8,4/int8,2/int8,1/int8,4/int4,2/int2,1/int1,w4a8,w7a7"


def command(
    network: Annotated[str, typer.Argument(help="A network of lowbit.zoo, or module:factory.")] = "resnet50",
    configs: Annotated[
        str, typer.Option(help="Comma-separated: fp32, on GPUs fp16, <bits>/int<storage bits>, w<bits>a<bits>.")
    ] = ALL,
    threads: Annotated[int | None, typer.Option(help="Threads of every row; default: all cores.")] = None,
    runs: Annotated[int | None, typer.Option(help="Timed runs a configuration; default: 30, under emulation 1.")] = None,
    batch: Annotated[str, typer.Option(help="Images a run; on a GPU several: 1,8,32.")] = "1",
    peers: Annotated[str, typer.Option(help="To time in turns with ours: onnxruntime,openvino; on a GPU torch.")] = "",
    target: Annotated[
        str, typer.Option(help="A target of `lowbit targets`; others than this machine's are emulated.")
    ] = "native",
    floats: Annotated[str, typer.Option("--float", help="How float32 layers multiply: float32; bf16x3 on AMX.")] = "float32",
    input_shape: Annotated[str | None, typer.Option(help="If nothing says it: 1x3x224x224; x=1x3x224x224 (ONNX).")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the figures as JSON.")] = None,
    code_dir: Annotated[Path | None, typer.Option(help="Write each configuration's generated code below this folder.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write a report folder: Markdown, chart, JSON, generated code.")] = None,
) -> None:
    """Compile a network in many configurations, check every output, time them in turns."""
    from lowbit.bench import BenchPlan, run_bench
    from lowbit.bench_emulated import is_emulated
    from lowbit.bench_gpu import is_gpu
    from lowbit.cli.options import names, parse_input_shape
    from lowbit.reporting.bench_table import bench_table
    from lowbit.reporting.code_folder import write_code
    from lowbit.reporting.plots import check_plots
    from lowbit.reporting.report import write_report

    if json:
        check_writable(json)
    for folder in (code_dir, report):
        if folder:
            check_folder(folder)
    if report:
        check_plots()
    batches = _batches(batch)
    if is_gpu(target):
        if report:
            raise ConfigError("--report is for rows timed on CPUs; a bench on a GPU writes --json and --code-dir")
        shape = parse_input_shape(input_shape)
        gpu_plan = BenchPlan(network, names(configs), threads or 1, runs or 30, batches[0], (), target, shape, floats)
        _on_gpu(gpu_plan, batches, names(peers), json, code_dir)
        return
    if len(batches) > 1:
        raise ConfigError(f"several batches ({batch}) are measured on GPUs; give one for {target}")
    emulated = is_emulated(target)
    plan = BenchPlan(
        network,
        names(configs),
        threads or (1 if emulated else len(os.sched_getaffinity(0))),
        runs if runs is not None else 1 if emulated else 30,
        batches[0],
        names(peers),
        target,
        parse_input_shape(input_shape),
        floats,
    )
    if emulated:
        if report:
            raise ConfigError("--report is for rows timed on this machine; an emulated bench writes --json and --code-dir")
        _emulated(plan, json, code_dir)
        return
    with notes_for_warnings():
        measured, networks = run_bench(plan, note)
    title = f"{network}, batch {plan.batch}, {plan.threads} threads, {measured.machine}"
    results().print(bench_table(title, measured.details()["rows"]))
    for text in measured.notes:
        results().print(text)
    if json:
        write_json(json, measured.to_json())
    if code_dir:
        write_code(networks, code_dir)
    if report:
        write_report(measured, networks, report)
        results().print(f"report: {report / 'README.md'}")


def _batches(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise ConfigError(f"batch is a whole number, or on a GPU several separated by commas, not {text!r}") from None


def _on_gpu(plan: BenchPlan, batches: list[int], peers: tuple[str, ...], json: Path | None, code_dir: Path | None) -> None:
    from lowbit.bench_gpu import gpu_table, run_gpu_bench
    from lowbit.reporting.code_folder import write_code

    with notes_for_warnings():
        measured, networks = run_gpu_bench(plan, batches, peers, note)
    results().print(gpu_table(measured))
    if json:
        write_json(json, measured.to_json())
    if code_dir:
        write_code(networks, code_dir)
    if any(row.exact is False for row in measured.rows):
        raise typer.Exit(1)


def _emulated(plan: BenchPlan, json: Path | None, code_dir: Path | None) -> None:
    from lowbit.bench_emulated import emulated_table, run_emulated_bench
    from lowbit.emulate.table import EXPLANATION
    from lowbit.reporting.code_folder import write_code

    with notes_for_warnings():
        rows, networks = run_emulated_bench(plan, note)
    results().print(emulated_table(plan.network, rows))
    for text in (EXPLANATION, *dict.fromkeys(text for row in rows for text in row.emulation.notes)):
        results().print(text)
    if json:
        content = {"network": plan.network, "target": plan.target, "rows": [row.to_json() for row in rows]}
        write_json(json, content)
    if code_dir:
        write_code(networks, code_dir)
    if any(row.emulation.verdict.exact is False for row in rows):
        raise typer.Exit(1)
