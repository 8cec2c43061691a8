"""The table of peers: one line each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from lowbit.errors import ConfigError, ToolMissing

__all__ = ["PEERS", "Peer", "PeerModels", "build_models", "build_peers", "check_peers", "load_peers"]

# peer -> function(models, threads) -> list of Peer; the module has the peer's name
PEERS = {
    "onnxruntime": "lowbit.measure.peers.onnxruntime:build",
    "openvino": "lowbit.measure.peers.openvino:build",
    "nncf": "lowbit.measure.peers.nncf:build",
}
_NEEDED = {  # what must be installed; peers read the models that onnxruntime's quantizer writes
    "onnxruntime": ("onnx", "onnxruntime"),
    "openvino": ("onnx", "onnxruntime", "openvino"),
    "nncf": ("onnx", "onnxruntime", "openvino", "nncf"),
}


@dataclass(frozen=True)
class Peer:
    """One row: ``config`` such as ``onnxruntime/int8``; ``run`` takes and returns a float32 array.
    ``note``: what was done to the network, for a reader of the table."""

    config: str
    run: Callable[[np.ndarray], np.ndarray]
    bytes: int
    note: str = ""


@dataclass(frozen=True)
class PeerModels:
    """The network as ONNX files of one batch size; ``calibration``: what the int8 one was calibrated with."""

    float_model: Path
    int8_model: Path
    calibration: Sequence[np.ndarray]


def check_peers(names: Iterable[str]) -> None:
    """Raise ConfigError for an unknown peer, ToolMissing for one that is not installed; before any work."""
    for name in names:
        if name not in PEERS:
            raise ConfigError(f"unknown peer {name!r}; known peers: {', '.join(PEERS)}")
        missing = [package for package in _NEEDED[name] if find_spec(package) is None]
        if missing:
            raise ToolMissing(f"peer {name} needs {', '.join(missing)}; pip install 'lowbit[peers]'")


def build_models(model: Any, example: np.ndarray, calibration: Sequence[np.ndarray], folder: Path) -> PeerModels:
    """Export ``model`` (torch) and quantize it from ``calibration`` (arrays shaped like ``example``), into ``folder``."""
    from lowbit.measure.peers.onnx_models import export_float, quantize_int8

    float_model = export_float(model, example, folder / "float32.onnx")
    return PeerModels(float_model, quantize_int8(float_model, calibration, folder / "int8.onnx"), tuple(calibration))


def load_peers(names: Sequence[str], models: PeerModels, threads: int) -> list[Peer]:
    """``models`` in every peer with ``threads`` threads."""
    check_peers(names)
    peers: list[Peer] = []
    for name in names:
        module, _, function = PEERS[name].partition(":")
        peers += getattr(import_module(module), function)(models, threads)
    return peers


def build_peers(
    names: Sequence[str],
    model: Any,
    example: np.ndarray,
    calibration: Sequence[np.ndarray],
    threads: int,
    folder: Path,
) -> list[Peer]:
    """:func:`build_models` and :func:`load_peers`; nothing where there are no ``names``."""
    check_peers(names)
    return load_peers(names, build_models(model, example, calibration, folder), threads) if names else []
