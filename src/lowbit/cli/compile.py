"""``lowbit compile``: a PyTorch or ONNX network -> an artifact."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lowbit.cli.console import notes_for_warnings, results
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
from lowbit.errors import ConfigError
from lowbit.files import check_writable

if TYPE_CHECKING:
    from lowbit.runtime import Compiled

__all__ = ["command"]


def command(
    model: Annotated[
        str | None, typer.Argument(help="module:factory, an .onnx file, or a network of lowbit.zoo; none with --from.")
    ] = None,
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="The artifact to write, NAME.lowbit.")],
    weights: Annotated[str | None, typer.Option(help="Integer type of weights: i8, i4, b1, ...; none = float32.")] = None,
    activations: Annotated[str | None, typer.Option(help="Integer type of activations: u8, u4, i16, ...")] = None,
    config: Annotated[
        str | None, typer.Option(help="Short form of both: fp32, 8/int8, 4/int8, 4/int4, w4a8, ...; of GPUs fp16.")
    ] = None,
    layer: Annotated[list[str] | None, typer.Option(help="PATTERN=WEIGHTS/ACTIVATIONS, as 'layer1.*=i8/u8'; repeatable.")] = None,
    calibration: CalibrationOption = None,
    mean: MeanOption = None,
    std: StdOption = None,
    pixel_scale: PixelScaleOption = None,
    size: SizeOption = None,
    resize: ResizeOption = None,
    input_shape: Annotated[str | None, typer.Option(help="If nothing says it: 1x3x224x224; x=1x3x224x224 (ONNX).")] = None,
    observer: Annotated[str | None, typer.Option(help="auto, minmax, moving_average, percentile, mse, entropy or aciq.")] = None,
    granularity: Annotated[str | None, typer.Option(help="Of weight scales: per_channel, per_tensor, per_group:32.")] = None,
    scale: Annotated[str | None, typer.Option(help="float, power_of_two, fixed:<fraction bits>, global:<range>.")] = None,
    first_last_bits: Annotated[
        int | None, typer.Option(help="Least width of the first and last layer (default 8); 0 treats them as the others.")
    ] = None,
    full_range: Annotated[
        bool, typer.Option("--full-range", help="u8 beside weights of up to 4 bits keeps all values to 255; else 0..240, faster.")
    ] = False,
    method: Annotated[
        str, typer.Option(help="How integers are found: auto, nearest, adaround, ...; several: 'gptq,adaround'.")
    ] = "auto",
    seconds: Annotated[float | None, typer.Option(help="What methods may take; auto takes about a minute.")] = None,
    target: Annotated[str, typer.Option(help="A target of `lowbit targets`.")] = "native",
    floats: Annotated[str, typer.Option("--float", help="How float32 layers multiply: float32; bf16x3 on AMX.")] = "float32",
    dump: Annotated[Path | None, typer.Option(help="Write the text of every stage into this folder.")] = None,
    storage: Annotated[str | None, typer.Option("--from", help="Storage of a `lowbit search`: a plan found there.")] = None,
    study: Annotated[str | None, typer.Option(help="With --from: which study; default: the only one.")] = None,
    trial: Annotated[int | None, typer.Option(help="With --from: number of the trial.")] = None,
    refit: Annotated[
        bool,
        typer.Option("--refit", help="With --from: find the integers anew, by the search's method, for this plan as a whole."),
    ] = False,
    batch: Annotated[int | None, typer.Option(help="With --from: rows; default: as many as were timed.")] = None,
) -> None:
    """Compile a PyTorch or ONNX network to n-bit integers and generated kernels."""
    from lowbit.chosen_config import asks_for_half
    from lowbit.cli.options import choose_config, names, parse_input_shape, parse_layers
    from lowbit.targets import find_target

    check_writable(output)
    if storage is not None:
        _save(_from_study(storage, study, trial, refit, batch, model), output)
        return
    if model is None:
        raise ConfigError("write which network: module:factory, an .onnx file, a network of lowbit.zoo, or --from a search")
    find_target(target)
    options: dict[str, object] = {
        "observer": observer,
        "granularity": granularity,
        "scale": scale,
        "full_range": full_range or None,
    }
    options = {key: value for key, value in options.items() if value is not None}
    if first_last_bits is not None:
        options["first_last_bits"] = first_last_bits or None
    half, given = asks_for_half(config), parse_layers(layer or [])
    chosen = (
        config
        if half and not (weights or activations or given or options)
        else choose_config(config, weights, activations, given, options)
    )
    shape = parse_input_shape(input_shape)
    pixels = preprocessing_of(mean, std, pixel_scale, size, resize)

    from lowbit.compiler import compile as compile_network
    from lowbit.zoo import load_network, short_name

    module, examples = load_network(model, shape)
    data = calibration_of(calibration, model, [tuple(x.shape) for x in examples], pixels)
    with notes_for_warnings():
        compiled = compile_network(
            module,
            examples,
            config=chosen,
            calibration=data,
            target=target,
            name=short_name(model),
            dump_dir=dump,
            method=names(method),
            seconds=seconds,
            float=floats,
        )
    _save(compiled, output)


def _from_study(
    storage: str, study: str | None, trial: int | None, refit: bool, batch: int | None, model: str | None
) -> Compiled:
    from lowbit.searching.stored import compile_trial
    from lowbit.searching.study import storage_url

    if model is not None:
        raise ConfigError(f"--from says which network, so {model!r} is one too many")
    if trial is None:
        raise ConfigError("--from needs --trial, the number of the plan; `lowbit pareto` shows them")
    with notes_for_warnings():
        return compile_trial(storage_url(storage, must_exist=True), study, trial, refit, rows=batch)


def _save(compiled: Compiled, output: Path) -> None:
    compiled.save(output)
    results().print(f"{output}: {output.stat().st_size:,} bytes, {len(compiled.manifest['layers'])} layers")
    results().print(f"BLAKE2b-256 {compiled.digest}", soft_wrap=True)
