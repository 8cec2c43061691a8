"""What a text says about data: a table of kinds."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lowbit.data.arrays import from_arrays, from_npz
from lowbit.data.dataset import Dataset
from lowbit.data.folder import from_folder
from lowbit.data.loader import from_iterable, from_map_style, is_map_style
from lowbit.data.source import Source
from lowbit.errors import ConfigError, DataError

__all__ = ["as_dataset", "open_data"]

_FORMS = (
    "a folder of class folders with images, an .npz with images and labels, module:factory for a Python loader, or "
    "torchvision:CIFAR10:/folder"
)


def open_data(
    text: str | os.PathLike[str],
    preprocessing: Callable[[np.ndarray], np.ndarray] | None = None,
    *,
    labels: Mapping[str, int] | None = None,
    channels: int = 3,
) -> Dataset:
    """The data that ``text`` names: a folder, an .npz, ``module:factory`` or ``torchvision:<class>:<folder>``.

    A factory is a function without arguments, called for each reading, or an iterable, indexed data set or Dataset; see
    :func:`as_dataset`.  ``labels`` and ``channels``: as lowbit.data.from_folder.  Raises DataError.
    """
    name, path = os.fspath(text), Path(text)
    if path.is_dir():
        return Dataset(from_folder(path, labels, channels), preprocessing)
    if path.is_file() or path.suffix == ".npz":
        if not path.is_file():
            raise DataError(f"{path} does not exist")
        return Dataset(from_npz(path), preprocessing)
    if name.startswith("torchvision:"):
        return Dataset(_torchvision(name), preprocessing)
    if ":" not in name:
        raise DataError(f"{name} does not exist; data is {_FORMS}")
    return as_dataset(_attribute(name), preprocessing, name)


def as_dataset(given: Any, preprocessing: Callable[[np.ndarray], np.ndarray] | None = None, description: str = "data") -> Dataset:
    """``given`` as a Dataset: one already, text or path (:func:`open_data`), (images, labels) as two arrays, an indexed data set
    of (x, label), an iterable of (x, labels), or a function that returns one of these.  Raises DataError."""
    if isinstance(given, Dataset):
        return given
    if isinstance(given, str | os.PathLike):
        return open_data(given, preprocessing)
    if isinstance(given, tuple) and len(given) == 2 and all(hasattr(part, "shape") for part in given):
        return Dataset(from_arrays(*given, description), preprocessing)
    if not isinstance(given, type) and is_map_style(given):
        return Dataset(from_map_style(given, description), preprocessing)
    if not isinstance(given, type) and hasattr(given, "__iter__"):
        return Dataset(from_iterable(lambda: given, description), preprocessing)
    if not callable(given):
        raise DataError(f"{description} is a {type(given).__name__}; data is {_FORMS}")
    made = _called(given, description)
    if not hasattr(made, "__next__"):
        return as_dataset(made, preprocessing, description)
    return Dataset(from_iterable(lambda: _called(given, description), description), preprocessing)


def _called(factory: Callable[[], Any], description: str) -> Any:
    try:
        inspect.signature(factory).bind()
    except TypeError as error:
        raise DataError(f"{description} cannot be called without arguments: {error}") from None
    except ValueError:  # a builtin that does not say what it takes
        pass
    made = factory()
    if callable(made) and not hasattr(made, "__iter__") and not isinstance(made, Dataset) and not is_map_style(made):
        raise DataError(f"{description} returned a {type(made).__name__}; it must return an iterable of (inputs, labels)")
    return made


def _attribute(name: str) -> Any:
    module_name, _, attribute = name.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except (ImportError, ValueError) as error:
        raise DataError(
            f"{name}: no such file, and module {module_name!r} cannot be imported: {error}; data is {_FORMS}"
        ) from None
    if not hasattr(module, attribute):
        raise DataError(f"{name}: {module_name} has no {attribute!r}")
    return getattr(module, attribute)


def _torchvision(name: str) -> Source:
    """``torchvision:CIFAR10:/folder``: the test half (train=False, or split="test" or "val") of what lies there."""
    _, _, rest = name.partition(":")
    kind, _, root = rest.partition(":")
    try:
        datasets = importlib.import_module("torchvision.datasets")
    except ImportError as error:
        raise ConfigError(f"{name} needs torchvision: pip install torchvision ({error})") from None
    factory = getattr(datasets, kind, None)
    if factory is None or not root:
        raise DataError(f"{name}: write torchvision:<a class of torchvision.datasets>:<folder>, such as torchvision:CIFAR10:data")
    parameters = inspect.signature(factory).parameters
    tries: list[dict[str, Any]] = [{"train": False}] if "train" in parameters else [{}]
    if "split" in parameters:
        tries = [{"split": "test"}, {"split": "val"}]
    problems = []
    for options in tries:
        try:
            return from_map_style(factory(root, **options), name)
        except (RuntimeError, ValueError, OSError) as error:
            problems.append(str(error))
    raise DataError(f"{name}: {'; '.join(problems)}")
