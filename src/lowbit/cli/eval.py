"""``lowbit eval``: accuracy of any network on labelled images, compiled beside float."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lowbit.cli.console import note, notes_for_warnings, results
from lowbit.cli.data import preprocessing_of, use_pretrained_folder
from lowbit.cli.files import write_json
from lowbit.files import check_writable, write_whole

if TYPE_CHECKING:
    from lowbit.evaluation import EvaluationReport

__all__ = ["command"]


def command(
    network: Annotated[
        list[str] | None,
        typer.Argument(help="module:factory, an .onnx file, a network of lowbit.zoo, or pretrained ones; default: all of those."),
    ] = None,
    configs: Annotated[
        str | None,
        typer.Option(
            "--configs",
            "--config",
            help="Comma-separated: fp32, 8/int8, 4/int4, w4a8, ...; default: 8/int8, or what a quantized file holds.",
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(help="Folder of class folders, .npz, module:factory or torchvision:CIFAR10:folder; or models/ and dev/."),
    ] = None,
    calib_data: Annotated[str | None, typer.Option(help="The same for calibration; default: a share of --data.")] = None,
    share: Annotated[float, typer.Option(help="Share of --data that calibrates, and then does not judge.")] = 0.2,
    labels: Annotated[Path | None, typer.Option(help="File of labels for a folder: .json or .csv of names and labels.")] = None,
    limit: Annotated[int | None, typer.Option(help="Images to evaluate; default: all.")] = None,
    calibration: Annotated[int | None, typer.Option(help="Images to calibrate with; default: 500, or all if fewer.")] = None,
    method: Annotated[str, typer.Option(help="How the integers are found, as in lowbit compile: auto, nearest, ...")] = "auto",
    mean: Annotated[str | None, typer.Option(help="(pixel / SCALE - MEAN) / STD, a number a channel: 0.485,0.456,0.406.")] = None,
    std: Annotated[str | None, typer.Option(help="See --mean.")] = None,
    scale: Annotated[float | None, typer.Option(help="See --mean; default: 255.")] = None,
    size: Annotated[str | None, typer.Option(help="Cut from the middle of an image scaled to fit: 224 or 224x224.")] = None,
    resize: Annotated[int | None, typer.Option(help="Scale the shorter side to this before --size cuts.")] = None,
    batch: Annotated[int | None, typer.Option(help="Images a run; default: up to 50, fewer for large ones.")] = None,
    input_shape: Annotated[str | None, typer.Option(help="If nothing says it: 1x3x224x224; x=1x3x224x224 (ONNX).")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads; default: all cores.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the figures as JSON.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page: the table, and every class.")] = None,
) -> None:
    """Top-1, top-5 and loss, compiled beside float on the same images.

    Without data: `lowbit eval digits-cnn` trains a small network on scikit-learn's digits.  Ctrl-C shows what is known so far.
    """
    for path in (json, html):
        if path:
            check_writable(path)
    data = use_pretrained_folder(data)

    from lowbit.cli.options import names, parse_input_shape
    from lowbit.evaluation.plan import CALIBRATION_IMAGES, EvalPlan
    from lowbit.evaluation.run import run_eval
    from lowbit.reporting.eval_table import eval_html, eval_table
    from lowbit.zoo.pretrained import PRETRAINED, data_root

    everything = [name for name, entry in PRETRAINED.items() if data_root() is not None or not entry.needs_data]
    plans = [
        EvalPlan(
            name,
            None if configs is None else names(configs),
            limit,
            CALIBRATION_IMAGES if calibration is None else calibration,
            threads,
            data=data,
            calibration_data=calib_data,
            share=share,
            preprocessing=preprocessing_of(mean, std, scale, size, resize),
            labels=labels,
            batch=batch,
            input_shape=parse_input_shape(input_shape),
            method=method,
        )
        for name in network or everything
    ]
    reports: list[EvaluationReport] = []
    with notes_for_warnings():
        for plan in plans:
            reports += run_eval(plan, note)
            if not all(report.complete for report in reports):
                break
    rows = [report.to_json() for report in reports]
    results().print(eval_table(rows))
    if json:
        write_json(json, {"rows": rows})
    if html:
        write_whole(html, eval_html(rows))
    if not all(report.complete for report in reports):
        note("interrupted: the figures are of the images seen until then")
        raise typer.Exit(130)
