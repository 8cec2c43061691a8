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

__all__ = ["PEERS", "Peer", "build_peers", "check_peers"]

# peer -> function(float model, int8 model, threads) -> list of Peer; the module has the peer's name
PEERS = {
    "onnxruntime": "lowbit.measure.peers.onnxruntime:build",
    "openvino": "lowbit.measure.peers.openvino:build",
}
_NEEDED = ("onnx", "onnxruntime")  # both peers read the models onnxruntime's quantizer writes


@dataclass(frozen=True)
class Peer:
    """One row: ``config`` such as ``onnxruntime/int8``; ``run`` takes and returns a float32 array."""

    config: str
    run: Callable[[np.ndarray], np.ndarray]
    bytes: int


def check_peers(names: Iterable[str]) -> None:
    """Raise ConfigError for an unknown peer, ToolMissing for one that is not installed; before any work."""
    for name in names:
        if name not in PEERS:
            raise ConfigError(f"unknown peer {name!r}; known peers: {', '.join(PEERS)}")
        missing = [package for package in (*_NEEDED, name) if find_spec(package) is None]
        if missing:
            raise ToolMissing(f"peer {name} needs {', '.join(dict.fromkeys(missing))}; pip install 'lowbit[peers]'")


def build_peers(
    names: Sequence[str],
    model: Any,
    example: np.ndarray,
    calibration: Sequence[np.ndarray],
    threads: int,
    folder: Path,
) -> list[Peer]:
    """Export ``model`` (torch) once, quantize it once from ``calibration`` (arrays shaped like
    ``example``), and load both in every peer with ``threads`` threads.  Files go into ``folder``."""
    check_peers(names)
    if not names:
        return []
    from lowbit.measure.peers.onnx_models import export_float, quantize_int8

    float_model = export_float(model, example, folder / "float32.onnx")
    int8_model = quantize_int8(float_model, calibration, folder / "int8.onnx")
    peers: list[Peer] = []
    for name in names:
        module, _, function = PEERS[name].partition(":")
        peers += getattr(import_module(module), function)(float_model, int8_model, threads)
    return peers
