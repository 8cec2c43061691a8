"""``lowbit bench``: many configurations of one network: checked, timed, shown."""

from __future__ import annotations

import json as json_format
import os
from pathlib import Path
from typing import Annotated

import typer

from lowbit.cli.console import note, notes_for_warnings, results
from lowbit.cli.files import check_folder, check_writable

__all__ = ["ALL", "command"]

ALL = "fp32,16/int16,8/int8,4/int8,2/int8,1/int8,4/int4,2/int2,1/int1,w4a8,w7a7"


def command(
    network: Annotated[str, typer.Argument(help="A network of lowbit.zoo, or module:factory.")] = "resnet50",
    configs: Annotated[str, typer.Option(help="Comma-separated: fp32, <bits>/int<storage bits>, w<bits>a<bits>.")] = ALL,
    threads: Annotated[int | None, typer.Option(help="Threads of every row; default: all cores.")] = None,
    runs: Annotated[int, typer.Option(help="Timed runs a configuration.")] = 30,
    batch: Annotated[int, typer.Option(help="Images a run.")] = 1,
    peers: Annotated[str, typer.Option(help="Others to time in turns with ours: onnxruntime,openvino.")] = "",
    target: Annotated[str, typer.Option(help="A target of `lowbit targets` that this machine can run.")] = "native",
    input_shape: Annotated[str | None, typer.Option(help="For a factory that returns only a module: 1x3x224x224.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the figures as JSON.")] = None,
    code_dir: Annotated[Path | None, typer.Option(help="Write each configuration's generated code below this folder.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write a report folder: Markdown, chart, JSON, generated code.")] = None,
) -> None:
    """Compile a network in many configurations, check every output, time them in turns."""
    from lowbit.bench import BenchPlan, run_bench
    from lowbit.cli.options import names, parse_shape
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
    plan = BenchPlan(
        network,
        names(configs),
        threads or len(os.sched_getaffinity(0)),
        runs,
        batch,
        names(peers),
        target,
        parse_shape(input_shape) if input_shape else None,
    )
    with notes_for_warnings():
        measured, networks = run_bench(plan, note)
    title = f"{network}, batch {batch}, {plan.threads} threads, {measured.machine}"
    results().print(bench_table(title, measured.details()["rows"]))
    for text in measured.notes:
        results().print(text)
    if json:
        json.write_text(json_format.dumps(measured.to_json(), indent=1) + "\n")
    if code_dir:
        write_code(networks, code_dir)
    if report:
        write_report(measured, networks, report)
        results().print(f"report: {report / 'README.md'}")
