"""``lowbit tune``: measure how a network's convolutions are computed fastest on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from lowbit.cli.console import note, notes_for_warnings, results
from lowbit.cli.data import (
    CalibrationOption,
    MeanOption,
    PixelScaleOption,
    ResizeOption,
    SizeOption,
    StdOption,
    calibration_of,
    preprocessing_of,
)

__all__ = ["command"]


def command(
    model: Annotated[str | None, typer.Argument(help="module:factory, an .onnx file, or a network of lowbit.zoo.")] = None,
    weights: Annotated[str | None, typer.Option(help="Integer type of weights: i8, i4, b1, ...; none = float32.")] = None,
    activations: Annotated[str | None, typer.Option(help="Integer type of activations: u8, u4, i16, ...")] = None,
    config: Annotated[str | None, typer.Option(help="Short form of both: fp32, 8/int8, 4/int8, 4/int4, w4a8, ...")] = None,
    layer: Annotated[list[str] | None, typer.Option(help="PATTERN=WEIGHTS/ACTIVATIONS, as 'layer1.*=i8/u8'; repeatable.")] = None,
    calibration: CalibrationOption = None,
    mean: MeanOption = None,
    std: StdOption = None,
    pixel_scale: PixelScaleOption = None,
    size: SizeOption = None,
    resize: ResizeOption = None,
    input_shape: Annotated[str | None, typer.Option(help="If nothing says it: 1x3x224x224; x=1x3x224x224 (ONNX).")] = None,
    target: Annotated[str, typer.Option(help="A target of `lowbit targets` that this machine can run.")] = "native",
    floats: Annotated[str, typer.Option("--float", help="How float32 layers multiply: float32; bf16x3 on AMX.")] = "float32",
    threads: Annotated[int | None, typer.Option(help="Threads the network will run on; default: all cores.")] = None,
    budget: Annotated[float, typer.Option(help="Seconds to measure for, about.")] = 60.0,
    trials: Annotated[int | None, typer.Option(help="Decisions measured for each convolution, at most; default: 40.")] = None,
    layers: Annotated[str, typer.Option(help="Only layers whose name matches, such as 'layer1.*'.")] = "*",
    status: Annotated[bool, typer.Option("--status", help="Show what was measured so far, and stop.")] = False,
    clear: Annotated[bool, typer.Option("--clear", help="Forget all that was measured, and stop.")] = False,
) -> None:
    """Measure how the convolutions of a network are computed fastest here; later compilations use it."""
    from lowbit.errors import ConfigError

    if status or clear:
        if model or (status and clear):
            raise ConfigError("--status and --clear stand alone")
        _clear() if clear else _status()
        return
    if model is None:
        raise ConfigError("name a network to tune (or give --status or --clear)")

    from lowbit.cli.options import choose_config, parse_input_shape, parse_layers
    from lowbit.targets import find_target
    from lowbit.tuning.database import user_database

    machine = find_target(target)
    chosen = choose_config(config, weights, activations, parse_layers(layer or []), {})
    shape = parse_input_shape(input_shape)
    pixels = preprocessing_of(mean, std, pixel_scale, size, resize)

    from lowbit.compiler import tune
    from lowbit.reporting.tuning_tables import tune_table
    from lowbit.zoo import load_network, short_name

    module, examples = load_network(model, shape)
    data = calibration_of(calibration, model, [tuple(x.shape) for x in examples], pixels)
    try:
        with notes_for_warnings():
            report = tune(
                module,
                examples,
                config=chosen,
                calibration=data,
                target=machine,
                threads=threads,
                name=short_name(model),
                seconds=budget,
                trials=trials,
                pattern=layers,
                float=floats,
            )
    except KeyboardInterrupt:
        note(f"interrupted; what was measured is kept in {user_database(machine).path}, the same command goes on from there")
        raise typer.Exit(130) from None
    results().print(tune_table(report))
    results().print(
        f"default {report.default_us:,.0f} us, tuned {report.tuned_us:,.0f} us; untuned takes {report.gap:.1f} % longer "
        f"({report.threads} threads, {report.measured} programs measured)"
    )
    if report.untuned:
        note(f"{len(report.untuned)} layers were not reached; run the command again or give a larger --budget than {budget:g}")


def _status() -> None:
    from lowbit.reporting.tuning_tables import status_table
    from lowbit.tuning.database import databases, tuning_folder

    found = databases()
    if not found:
        results().print(f"nothing was tuned yet: {tuning_folder()} is empty")
        return
    with notes_for_warnings():
        results().print(status_table(found))


def _clear() -> None:
    from lowbit.tuning.database import databases

    found = databases()
    for database in found:
        database.path.unlink(missing_ok=True)
    results().print(f"removed {len(found)} tuning databases")
