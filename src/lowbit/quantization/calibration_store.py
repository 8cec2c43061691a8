"""A calibration as one file."""

from __future__ import annotations

import json
from os import PathLike

import numpy as np

from lowbit.errors import CalibrationError
from lowbit.files import as_path, write_whole
from lowbit.quantization.observers import Histogram

__all__ = ["Parts", "read_parts", "write_parts"]

_FORMAT = "lowbit calibration 1"
_NUMBERS = ("minimum", "maximum", "origin", "width", "average_minimum", "average_maximum")

Parts = tuple[dict[str, Histogram], dict[str, np.ndarray], int, tuple[np.ndarray, ...]]
"""Histograms, input means, rows and samples of a Calibration."""


def write_parts(path: str | PathLike[str], parts: Parts) -> None:
    """One safetensors file: counts, means and samples as arrays, all else as JSON among its metadata."""
    from safetensors.numpy import save

    histograms, means, rows, samples = parts
    arrays = {f"counts {name}": seen.counts for name, seen in histograms.items()}
    arrays |= {f"means {name}": np.ascontiguousarray(value) for name, value in means.items()}
    arrays |= {f"samples {index}": np.ascontiguousarray(value) for index, value in enumerate(samples)}
    numbers = {name: [float(getattr(seen, key)) for key in _NUMBERS] for name, seen in histograms.items()}
    about = {"rows": rows, "histograms": numbers, "means": list(means), "samples": len(samples)}
    write_whole(as_path(path, "path"), save(arrays, {_FORMAT: json.dumps(about)}))


def read_parts(path: str | PathLike[str]) -> Parts:
    """Inverse of :func:`write_parts`.  Raises CalibrationError for another file."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(as_path(path, "path"), "numpy") as file:
            about = json.loads((file.metadata() or {})[_FORMAT])
            histograms = {}
            for name, numbers in about["histograms"].items():
                histograms[name] = seen = Histogram()
                seen.counts = file.get_tensor(f"counts {name}")
                for key, value in zip(_NUMBERS, numbers, strict=True):
                    setattr(seen, key, value)
            means = {name: file.get_tensor(f"means {name}") for name in about["means"]}
            samples = tuple(file.get_tensor(f"samples {index}") for index in range(about["samples"]))
            return histograms, means, about["rows"], samples
    except FileNotFoundError:
        raise CalibrationError(f"{path} does not exist") from None
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise CalibrationError(f"{path} is no calibration: {error or type(error).__name__}") from None
