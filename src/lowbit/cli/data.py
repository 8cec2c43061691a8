"""Options that say what data is and how it becomes a network's inputs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lowbit.data import Preprocessing

__all__ = ["preprocessing_of", "use_pretrained_folder"]


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
