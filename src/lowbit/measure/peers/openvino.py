"""OpenVINO's CPU plugin; it turns the QDQ pairs of the int8 file into its own int8 kernels."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lowbit.measure.peers.table import Peer
from lowbit.measure.size import bytes_on_disk

__all__ = ["build"]


def build(float_model: Path, int8_model: Path, threads: int) -> list[Peer]:
    """``openvino/fp32`` and ``openvino/int8``."""
    import openvino

    core = openvino.Core()
    options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}

    def load(config: str, path: Path) -> Peer:
        request = core.compile_model(core.read_model(str(path)), "CPU", options).create_infer_request()

        def run(x: np.ndarray) -> np.ndarray:
            return np.array(request.infer([x])[0])

        return Peer(config, run, bytes_on_disk(path))

    return [load("openvino/fp32", float_model), load("openvino/int8", int8_model)]
