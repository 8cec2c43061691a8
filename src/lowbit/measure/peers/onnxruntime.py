"""onnxruntime's CPU provider."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lowbit.measure.peers.onnx_models import INPUT, INT8
from lowbit.measure.peers.table import Peer, PeerModels
from lowbit.measure.size import bytes_on_disk

__all__ = ["build"]


def build(models: PeerModels, threads: int) -> list[Peer]:
    """``onnxruntime/fp32`` and ``onnxruntime/int8``."""
    import onnxruntime

    def load(config: str, path: Path, note: str = "") -> Peer:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

        def run(x: np.ndarray) -> np.ndarray:
            output: np.ndarray = session.run(None, {INPUT: x})[0]
            return output

        return Peer(config, run, bytes_on_disk(path), note)

    return [load("onnxruntime/fp32", models.float_model), load("onnxruntime/int8", models.int8_model, INT8)]
