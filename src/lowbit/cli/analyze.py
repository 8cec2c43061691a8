"""``lowbit analyze``: what each layer of a network suffers at each width."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lowbit.cli.console import note, notes_for_warnings, results
from lowbit.cli.data import preprocessing_of, use_pretrained_folder
from lowbit.cli.files import write_json
from lowbit.files import check_writable

__all__ = ["command"]


def command(
    network: Annotated[str, typer.Argument(help="module:factory, an .onnx file, a network of lowbit.zoo or a pretrained one.")],
    bits: Annotated[str, typer.Option(help="Widths at which single layers are rounded.")] = "8,6,4,3,2",
    config: Annotated[str, typer.Option(help="Precision of the compiled network whose tensors are compared.")] = "8/int8",
    data: Annotated[
        str | None,
        typer.Option(help="Folder of class folders, .npz, module:factory or torchvision:CIFAR10:folder; or models/ and dev/."),
    ] = None,
    calib_data: Annotated[str | None, typer.Option(help="The same for calibration; default: a share of --data.")] = None,
    share: Annotated[float, typer.Option(help="Share of --data that calibrates, and then is not looked at.")] = 0.2,
    labels: Annotated[Path | None, typer.Option(help="File of labels for a folder: .json or .csv of names and labels.")] = None,
    rows: Annotated[int, typer.Option(help="Samples to look at.")] = 128,
    calibration: Annotated[int | None, typer.Option(help="Images to calibrate with; default: 500, or all if fewer.")] = None,
    mean: Annotated[str | None, typer.Option(help="(pixel / SCALE - MEAN) / STD, a number a channel: 0.485,0.456,0.406.")] = None,
    std: Annotated[str | None, typer.Option(help="See --mean.")] = None,
    scale: Annotated[float | None, typer.Option(help="See --mean; default: 255.")] = None,
    size: Annotated[str | None, typer.Option(help="Cut from the middle of an image scaled to fit: 224 or 224x224.")] = None,
    resize: Annotated[int | None, typer.Option(help="Scale the shorter side to this before --size cuts.")] = None,
    input_shape: Annotated[str | None, typer.Option(help="If nothing says it: 1x3x224x224; x=1x3x224x224 (ONNX).")] = None,
    state: Annotated[Path | None, typer.Option(help="Keeps what is measured; the same call later goes on from there.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write the page; the figures lie beside it as .json.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the figures as JSON.")] = None,
) -> None:
    """Sensitivity of each layer at each width, ranges, and where the compiled network departs from the float one.

    Without data: `lowbit analyze digits-cnn` trains a small network on scikit-learn's digits.  Ctrl-C shows what is known so far.
    """
    json = json or (html.with_suffix(".json") if html else None)
    for path in (json, html, state):
        if path:
            check_writable(path)
    from lowbit.cli.options import parse_bits, parse_input_shape

    data = use_pretrained_folder(data)
    widths = parse_bits(bits)

    from lowbit.analysis import analyze
    from lowbit.evaluation.plan import CALIBRATION_IMAGES, EvalPlan
    from lowbit.evaluation.run import open_network, open_split
    from lowbit.reporting.analysis_table import analysis_table, analysis_words
    from lowbit.zoo import load_preprocessing, short_name

    plan = EvalPlan(
        network,
        (config,),
        rows,
        CALIBRATION_IMAGES if calibration is None else calibration,
        data=data,
        calibration_data=calib_data,
        share=share,
        preprocessing=preprocessing_of(mean, std, scale, size, resize),
        labels=labels,
        batch=1,
        input_shape=parse_input_shape(input_shape),
    )
    model, example = open_network(plan)
    known = plan.preprocessing or (load_preprocessing(network) if data else None)
    calibrating, looked_at = open_split(plan, example[0].shape, known)
    with notes_for_warnings():
        report = analyze(
            model,
            example,
            calibration=calibrating.take(plan.calibration),
            dataset=looked_at,
            config=config,
            bits=widths,
            rows=rows,
            name=short_name(network),
            state=state,
        )
    results().print(analysis_table(report))
    for line in analysis_words(report):
        results().print(line)
    if html:
        report.save_html(html)
        note(f"{html}: the page")
    if json:
        write_json(json, report.to_json())
    if not report.complete:
        note("interrupted: the figures are those measured until then")
        raise typer.Exit(130)
