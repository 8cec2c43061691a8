"""Options that say what data is and how it becomes a network's inputs."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lowbit.data import Preprocessing

__all__ = [
    "CalibrationOption", "MeanOption", "PixelScaleOption", "ResizeOption", "SizeOption", "StdOption", "calibration_of",
    "preprocessing_of", "use_pretrained_folder",
]  # fmt: skip

# Of verbs whose --calibration may be images, and whose --scale is that of weights
CalibrationOption = Annotated[
    str | None, typer.Option(help="Samples in a .npy or .npz, shaped like the input; a folder of images; module:factory.")
]
MeanOption = Annotated[str | None, typer.Option(help="Of images: (pixel / PIXEL_SCALE - MEAN) / STD, a number a channel.")]
StdOption = Annotated[str | None, typer.Option(help="See --mean.")]
PixelScaleOption = Annotated[float | None, typer.Option(help="See --mean; default: 255.")]
SizeOption = Annotated[
    str | None, typer.Option(help="Of images: cut from the middle, scaled to fit: 224x224; default: what the network reads.")
]
ResizeOption = Annotated[int | None, typer.Option(help="Of images: scale the shorter side to this before --size cuts.")]
_PIXELS = "--mean, --std, --pixel-scale, --size and --resize"


def use_pretrained_folder(data: str | None) -> str | None:
    """A folder with models/ and dev/ takes the place of LOWBIT_DATA; other data is given back."""
    if data is None or not (Path(data) / "models").is_dir():
        return data
    os.environ["LOWBIT_DATA"] = data
    return None


def preprocessing_of(
    mean: str | None, std: str | None, scale: float | None, size: str | None, resize: int | None
) -> Preprocessing | None:
    """What these options mean together; None: nothing was said."""
    from lowbit.cli.options import parse_numbers, parse_shape
    from lowbit.data import Preprocessing
    from lowbit.errors import ConfigError

    if all(given is None for given in (mean, std, scale, size, resize)):
        return None
    extents = parse_shape(size) if size else None
    if extents is not None and len(extents) > 2:
        raise ConfigError(f"--size {size}: write a height and a width, such as 224x224, or one number for both")
    return Preprocessing(
        255.0 if scale is None else scale,
        (0.0,) if mean is None else parse_numbers(mean, "--mean"),
        (1.0,) if std is None else parse_numbers(std, "--std"),
        None if extents is None else (extents[0], extents[-1]),
        resize,
    )


def calibration_of(
    text: str | None, network: str, shapes: Sequence[Sequence[int]], preprocessing: Preprocessing | None
) -> Iterable[Any] | None:
    """What ``--calibration`` names: samples in a .npy or .npz, images anywhere below a folder, or module:factory of a loader.

    ``shapes``: of the network's inputs.  Images become inputs by ``preprocessing``, else by what the network's factory says,
    else pixel / 255; they are cut to the size that the network reads.  At most 500 of a folder, in a shuffled order.
    """
    from lowbit.cli.files import read_samples
    from lowbit.data import open_data
    from lowbit.errors import ConfigError

    if text is None:
        if preprocessing is not None:
            raise ConfigError(f"{_PIXELS} say how --calibration's images are read; give both")
        return None
    path = Path(text)
    if path.is_dir():
        return _images(path, network, shapes, preprocessing)
    if path.suffix in (".npy", ".npz") or path.exists() or ":" not in text:
        if preprocessing is not None:
            raise ConfigError(f"{text} holds what the network reads; {_PIXELS} are for images")
        return read_samples(path)
    return open_data(text, preprocessing)


def _images(path: Path, network: str, shapes: Sequence[Sequence[int]], preprocessing: Preprocessing | None) -> Iterable[Any]:
    from lowbit.cli.console import note
    from lowbit.data import Dataset, Preprocessing, from_folder
    from lowbit.errors import ConfigError
    from lowbit.evaluation.plan import CALIBRATION_IMAGES
    from lowbit.zoo import load_preprocessing, short_name

    if len(shapes) != 1 or len(shapes[0]) != 4:
        raise ConfigError(f"{path} holds images, {network} reads {list(map(tuple, shapes))}; give its inputs as an .npz")
    second, third, last = shapes[0][1:]
    channels_last = second not in (1, 3) and last in (1, 3)
    channels, size = (last, (second, third)) if channels_last else (second, (third, last))
    source = from_folder(path, channels=channels, labelled=False)
    prepare = preprocessing or load_preprocessing(network)
    if prepare is None:
        prepare = Preprocessing()
        known = f"{path}: pixels are divided by 255"
        note(f"note: {known}; say --mean and --std (or --pixel-scale) where {short_name(network)} was trained on others")
    if isinstance(prepare, Preprocessing):
        prepare = replace(prepare, size=prepare.size or size, channels_last=channels_last)
    return Dataset(source, prepare).take(CALIBRATION_IMAGES)
