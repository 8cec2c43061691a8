"""The packages that read ONNX files."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from lowbit.errors import ToolMissing

__all__ = ["need"]


def need(package: str) -> Any:
    """``onnx`` or ``onnxscript.optimizer``, imported.  Raises ToolMissing saying how to install it."""
    try:
        return import_module(package)
    except ImportError as error:
        raise ToolMissing(f"ONNX files are read with {package.partition('.')[0]}: pip install 'lowbit[onnx]' ({error})") from None
