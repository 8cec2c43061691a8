"""Arguments that the verbs of the compiler share, checked before any work."""

from __future__ import annotations

import os
from pathlib import Path

from lowbit.errors import ConfigError, UnknownTarget, UnsupportedPrecision
from lowbit.files import as_path, check_folder
from lowbit.graph import Graph
from lowbit.graph.ops import LAYERS
from lowbit.numerics.float_products import FLOAT32, FLOATS, FloatProducts
from lowbit.targets import TARGETS, Target, find_target
from lowbit.tuning.lookup import tuning_enabled
from lowbit.tuning.session import SECONDS

__all__ = ["floats_of", "folder_of", "has_float_layers", "name_of", "target_of", "tuning_of"]


def target_of(target: str | Target) -> Target:
    """The target, or the one of this name.  Raises UnknownTarget."""
    if isinstance(target, str):
        return find_target(target)
    if not isinstance(target, Target):
        raise UnknownTarget(f"target is a name of lowbit.targets.TARGETS or a Target, not {target!r}")
    return target


def floats_of(name: str, target: Target, integer: bool) -> FloatProducts:
    """How float32 layers multiply.  ``integer``: all layers of the network are of integers.

    Raises ConfigError for a name that is none, and for one beside integers; UnsupportedPrecision, with the targets that have what
    it needs, for a target that does not."""
    from lowbit.kernels.conv2d.forms import FORMS

    if not isinstance(name, str) or name not in FLOATS:
        raise ConfigError(f"float says how float32 layers multiply, one of {', '.join(map(repr, FLOATS))}, not {name!r}")
    way = FLOATS[name]
    if way is FLOAT32:
        return way
    if integer:
        raise ConfigError(f"float={name!r} is for layers of float32, and this network's are integers: leave one of the two out")
    forms = [form for form in FORMS.values() if form.asked is way]
    if any(form.available(target) for form in forms):
        return way
    able = [t.name + (" (emulated)" if t.emulated else "") for t in TARGETS.values() if any(form.available(t) for form in forms)]
    needed = " or ".join(dict.fromkeys(" and ".join(sorted(form.features.split())) for form in forms))
    off = "; techniques are switched off here: " + ", ".join(sorted(target.without)) if target.without else ""
    raise UnsupportedPrecision(
        f"float={name!r} needs {needed}, which {target.name} lacks{off}; targets that have them: {', '.join(able)}"
    )


def has_float_layers(graph: Graph) -> bool:
    """Whether some layer multiplies float32, or there is no layer at all."""
    layers = [node for node in graph.nodes if node.op in LAYERS]
    return not layers or any(graph.types[node.inputs[1]].quant is None for node in layers)


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
