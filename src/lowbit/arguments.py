"""Arguments that the verbs of the compiler share, checked before any work."""

from __future__ import annotations

import os
from pathlib import Path

from lowbit.errors import ConfigError, UnknownTarget
from lowbit.files import as_path, check_folder
from lowbit.targets import Target, find_target
from lowbit.tuning.lookup import tuning_enabled
from lowbit.tuning.session import SECONDS

__all__ = ["folder_of", "name_of", "target_of", "tuning_of"]


def target_of(target: str | Target) -> Target:
    """The target, or the one of this name.  Raises UnknownTarget."""
    if isinstance(target, str):
        return find_target(target)
    if not isinstance(target, Target):
        raise UnknownTarget(f"target is a name of lowbit.targets.TARGETS or a Target, not {target!r}")
    return target


def folder_of(path: str | os.PathLike[str] | None) -> Path | None:
    """The folder to write stages into, made if need be."""
    if path is None or path == "":
        return None
    folder = as_path(path, "dump_dir")
    check_folder(folder)
    return folder


def name_of(name: str | None) -> str | None:
    """The name of a network: Unicode text without zeros.  Raises ConfigError."""
    if name is not None and not isinstance(name, str):
        raise ConfigError(f"the name of a network is text, not {name!r}")
    try:
        if name is not None and "\0" in name:
            raise ConfigError(f"the name {name!r} holds a zero character")
        (name or "").encode()
    except UnicodeEncodeError as error:
        raise ConfigError(f"the name {name!r} is not Unicode text: {error.reason} at character {error.start}") from None
    return name


def tuning_of(tune: bool | float, tuning: bool) -> tuple[float, bool]:
    """(seconds to tune for, 0 = not; whether measurements decide about kernels).  Raises ConfigError."""
    if type(tuning) is not bool or type(tune) not in (bool, int, float):
        raise ConfigError(f"tuning is True or False, and tune that or a number of seconds; got {tuning!r} and {tune!r}")
    tuning = tuning and tuning_enabled()
    if tune and not tuning:
        raise ConfigError("tune is given, but what it finds would not be used: tuning is off (tuning=False or LOWBIT_TUNING=off)")
    return SECONDS if tune is True else tune, tuning
