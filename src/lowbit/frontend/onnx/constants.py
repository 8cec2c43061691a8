"""Tensors of ONNX files as torch's."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from lowbit.errors import InputError
from lowbit.frontend.onnx.library import need

__all__ = ["element_type", "to_torch", "torch_type"]

_KEPT = {"FLOAT": torch.float32, "DOUBLE": torch.float32, "FLOAT16": torch.float32, "BFLOAT16": torch.float32, "BOOL": torch.bool}
_INTEGERS = ("INT2", "UINT2", "INT4", "UINT4", "INT8", "UINT8", "INT16", "UINT16", "INT32", "UINT32", "INT64", "UINT64")


def element_type(number: int) -> str:
    """Name of an ONNX element type: "FLOAT", "UINT4", ..."""
    return str(need("onnx").TensorProto.DataType.Name(number))


def torch_type(number: int) -> torch.dtype:
    """The torch type in which constants of this ONNX element type are kept: float32 for all floating ones,
    an integer type that holds them for integers.  Raises InputError for text and complex numbers."""
    name = element_type(number)
    if name in _KEPT:
        return _KEPT[name]
    if name not in _INTEGERS:
        raise InputError(f"tensors of type {name} are not supported; read are floating point, integers and booleans")
    if name.startswith("U"):
        return {"UINT2": torch.uint8, "UINT4": torch.uint8, "UINT8": torch.uint8, "UINT16": torch.int32}.get(name, torch.int64)
    narrow = {"INT2": torch.int8, "INT4": torch.int8, "INT8": torch.int8, "INT16": torch.int16, "INT32": torch.int32}
    return narrow.get(name, torch.int64)


def to_torch(tensor: Any, where: str) -> torch.Tensor:
    """A TensorProto.  Raises InputError for one that is damaged or of a type that is not read."""
    wanted = torch_type(tensor.data_type)
    try:
        array = np.asarray(need("onnx").numpy_helper.to_array(tensor))
    except Exception as error:
        raise InputError(f"{where}: the tensor {tensor.name or '(unnamed)'} is damaged: {error}") from None
    if wanted == torch.float32:
        array = array.astype(np.float32)
    elif not wanted.is_floating_point and wanted != torch.bool:
        array = array.astype(np.int64)
    return torch.from_numpy(np.array(array, order="C")).to(wanted)
