"""A network in any form that is read -> float graph."""

from __future__ import annotations

from typing import Any

from lowbit.frontend.imported import ImportedNetwork
from lowbit.frontend.onnx.file import is_onnx
from lowbit.graph import Graph

__all__ = ["has_shapes", "import_model", "is_program"]


def is_program(model: Any) -> bool:
    """Whether ``model`` is a ``torch.export.ExportedProgram``."""
    return type(model).__name__ == "ExportedProgram" and hasattr(model, "graph_signature")


def has_shapes(model: Any) -> bool:
    """Whether the shapes of its inputs may be in the model itself, so that example inputs are not needed."""
    return is_onnx(model) or is_program(model) or isinstance(model, ImportedNetwork)


def import_model(model: Any, example_inputs: Any = None, name: str | None = None) -> Graph:
    """The network as it computes in evaluation mode on inputs of exactly these shapes.

    ``model``: a ``torch.nn.Module`` or an ExportedProgram (frontend/torch_export.py), a ``.onnx`` file or a ModelProto
    (frontend/onnx/walk.py), or an ImportedNetwork.  ``example_inputs``: float32 tensors; for ONNX only where the file leaves
    extents free, and then input -> shape will do; a program has its own.  Raises what those raise.
    """
    if is_onnx(model):
        model = ImportedNetwork(model, example_inputs, name)
    if isinstance(model, ImportedNetwork):
        return model.graph_for(example_inputs, name)
    from lowbit.frontend.torch_export import import_model as from_torch
    from lowbit.frontend.torch_export import import_program

    if is_program(model):
        return import_program(model, example_inputs, name)
    return from_torch(model, example_inputs, name)
