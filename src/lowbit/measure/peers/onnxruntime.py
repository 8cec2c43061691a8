"""onnxruntime's CPU provider."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lowbit.measure.peers.onnx_models import INPUT
from lowbit.measure.peers.table import Peer
from lowbit.measure.size import bytes_on_disk

__all__ = ["build"]


def build(float_model: Path, int8_model: Path, threads: int) -> list[Peer]:
    """``onnxruntime/fp32`` and ``onnxruntime/int8``."""
    import onnxruntime

    def load(config: str, path: Path) -> Peer:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

        def run(x: np.ndarray) -> np.ndarray:
            output: np.ndarray = session.run(None, {INPUT: x})[0]
            return output

        return Peer(config, run, bytes_on_disk(path))

    return [load("onnxruntime/fp32", float_model), load("onnxruntime/int8", int8_model)]
