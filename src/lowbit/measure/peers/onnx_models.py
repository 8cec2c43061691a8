"""The ONNX files peers run: float32 from torch, int8 by onnxruntime's own static quantizer."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["INPUT", "INT8", "export_float", "quantize_int8"]

INPUT = "input"
INT8 = "onnxruntime's static quantizer: QDQ, u8 activations, i8 weights per output channel, min-max"


def export_float(model: Any, example: np.ndarray, path: Path) -> Path:
    """``model`` at the shape of ``example`` -> ONNX float32.

    The TorchScript exporter: it folds batch norm into convolutions, which the quantizer below relies on.
    """
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model.eval(),
            (torch.from_numpy(np.array(example)),),
            str(path),
            input_names=[INPUT],
            output_names=["output"],
            opset_version=17,
            dynamo=False,
        )
    return path


def quantize_int8(
    float_model: Path, calibration: Sequence[np.ndarray], path: Path, name: str = INPUT, per_channel: bool = True
) -> Path:
    """ONNX float32 -> int8 as onnxruntime recommends for CPUs: QDQ, u8 activations, i8 weights per
    output channel, min-max ranges over ``calibration``, samples of the input of that name.  Opsets below 13 have no
    scales of channels."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Samples(CalibrationDataReader):
        def __init__(self) -> None:
            self.rest = iter(calibration)

        def get_next(self) -> dict[str, np.ndarray] | None:
            sample = next(self.rest, None)
            return None if sample is None else {name: sample}

    prepared = path.with_suffix(".prepared.onnx")
    root = logging.getLogger()  # the quantizer writes its advice there
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        quant_pre_process(str(float_model), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared),
            str(path),
            Samples(),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=per_channel,
        )
    finally:
        root.setLevel(level)
    prepared.unlink()
    return path
