"""Modules as ONNX models, in memory."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import Any

import torch

__all__ = ["exported"]


def exported(model: torch.nn.Module, inputs: Sequence[torch.Tensor], **options: Any) -> Any:
    """What ``torch.onnx.export`` makes of a module, by its older exporter and without folding, as a ModelProto."""
    import onnx

    file = io.BytesIO()
    plain = {"dynamo": False, "do_constant_folding": False, "training": torch.onnx.TrainingMode.EVAL} | options
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(model, tuple(inputs), file, **plain)
    return onnx.load_from_string(file.getvalue())
