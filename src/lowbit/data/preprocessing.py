"""From 8-bit pixels to what a network reads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lowbit.errors import ConfigError, DataError

__all__ = ["Preprocessing"]


@dataclass(frozen=True)
class Preprocessing:
    """y[c] = (pixel / divisor - mean[c]) / std[c], channels red, green, blue.

    ``mean`` and ``std``: a number for each channel, or one for all.  ``size`` (height, width): what is cut from the middle of an
    image, after its shorter side was scaled (bilinear) to ``resize`` pixels; without ``resize``, after it was scaled until
    ``size`` just fits.  Neither: images stay as they are.  ``channels_last``: the network reads (N, H, W, C).  Raises ConfigError
    for numbers that make no sense.
    """

    divisor: float = 255.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    size: tuple[int, int] | None = None
    resize: int | None = None
    channels_last: bool = False

    def __post_init__(self) -> None:
        for name in ("mean", "std"):
            object.__setattr__(self, name, tuple(float(value) for value in getattr(self, name)))
        if not self.divisor > 0 or not all(value > 0 for value in self.std):
            raise ConfigError(f"pixels are divided by {self.divisor} and std {self.std}; both must be above 0")
        if not self.mean or not self.std or len({len(self.mean), len(self.std)} - {1}) > 1:
            raise ConfigError(f"mean {self.mean} and std {self.std}: write one number for each channel, or one for all")
        if any(extent < 1 for extent in (*(self.size or ()), self.resize or 1)):
            raise ConfigError(f"size {self.size} and resize {self.resize} are in pixels, at least 1")

    @property
    def channels(self) -> int | None:
        """How many channels ``mean`` and ``std`` are for; None: any."""
        longest = max(len(self.mean), len(self.std))
        return longest if longest > 1 else None

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 (N, H, W, C) -> float32 (N, C, H, W), or (N, H, W, C).  Raises DataError for another number of channels."""
        self._check(pixels.shape[-1])
        scaled = pixels.astype(np.float32) / np.float32(self.divisor) - np.asarray(self.mean, np.float32)
        scaled /= np.asarray(self.std, np.float32)
        return scaled if self.channels_last else np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))

    def floats(self, values: np.ndarray) -> np.ndarray:
        """float32 (N, C, ...), or (N, ..., C) -> the same shape: the formula alone.  Raises DataError for another number of
        channels."""
        self._check(values.shape[-1 if self.channels_last else 1])
        axes = (-1,) if self.channels_last else (-1, *(1,) * (values.ndim - 2))
        mean, std = (np.asarray(given, np.float32).reshape(axes) for given in (self.mean, self.std))
        return (values / np.float32(self.divisor) - mean) / std

    def _check(self, channels: int) -> None:
        if self.channels not in (None, channels):
            raise DataError(f"mean {self.mean} and std {self.std} are for {self.channels} channels, the images have {channels}")

    def fit(self, image: np.ndarray) -> np.ndarray:
        """uint8 (H, W, C) -> the same in ``size``.  Raises DataError where ``resize`` leaves less than that."""
        if self.size is None and self.resize is None:
            return image
        scaled = _scaled(image, self._factor(*image.shape[:2]))
        height, width = self.size or scaled.shape[:2]
        top, left = (scaled.shape[0] - height) // 2, (scaled.shape[1] - width) // 2
        if top < 0 or left < 0:
            raise DataError(f"after scaling its shorter side to {self.resize} it is {scaled.shape[:2]}, smaller than {self.size}")
        return scaled[top : top + height, left : left + width]

    def _factor(self, height: int, width: int) -> float:
        if self.resize is not None:
            return self.resize / min(height, width)
        assert self.size is not None
        return max(self.size[0] / height, self.size[1] / width)


def _scaled(image: np.ndarray, factor: float) -> np.ndarray:
    height, width = (round(extent * factor) for extent in image.shape[:2])
    if (height, width) == image.shape[:2]:
        return image
    from PIL import Image

    picture = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
    return np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR)).reshape(height, width, -1)
