"""OpenVINO's CPU plugin; it turns the QDQ pairs of the int8 file into its own int8 kernels."""

from __future__ import annotations

from typing import Any

import numpy as np

from lowbit.measure.peers.onnx_models import INT8
from lowbit.measure.peers.table import Peer, PeerModels
from lowbit.measure.size import bytes_on_disk

__all__ = ["build", "load_model"]


def load_model(config: str, model: Any, threads: int, size: int, note: str = "") -> Peer:
    """An ``openvino.Model`` of ``size`` bytes on disk, compiled for latency; float arithmetic in float32."""
    import openvino

    options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
    request = openvino.Core().compile_model(model, "CPU", options).create_infer_request()

    def run(x: np.ndarray) -> np.ndarray:
        return np.array(request.infer([x])[0])

    return Peer(config, run, size, note)


def build(models: PeerModels, threads: int) -> list[Peer]:
    """``openvino/fp32`` and ``openvino/int8``."""
    import openvino

    core = openvino.Core()
    return [
        load_model(config, core.read_model(str(path)), threads, bytes_on_disk(path), note)
        for config, path, note in (("openvino/fp32", models.float_model, ""), ("openvino/int8", models.int8_model, INT8))
    ]
