"""An ONNX file as a model whose shapes are fixed and whose constant parts are folded."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lowbit.errors import InputError, UnsupportedOperation
from lowbit.frontend.onnx.library import need

__all__ = ["OLDEST_OPSET", "is_onnx", "open_model", "opsets"]

OLDEST_OPSET = 9
Shapes = Mapping[str, Sequence[int]] | Sequence[Sequence[int]]
_FOLDED = 1 << 22  # elements of an operand or a result that is folded at most


def is_onnx(model: Any) -> bool:
    """Whether ``model`` is an ONNX model, or a path to one."""
    if isinstance(model, (str, os.PathLike)):
        return os.fspath(model).endswith(".onnx")
    return type(model).__name__ == "ModelProto" and hasattr(model, "SerializeToString")


def open_model(source: Any, shapes: Shapes | None = None) -> tuple[Any, str]:
    """(model, its name): a ``.onnx`` file or a ModelProto, every input of fixed shape, constant sub-graphs folded.

    ``shapes``: input -> its shape, or the shapes of all inputs in order, in place of the file's; needed where that leaves
    extents free.  Raises InputError for a file that is missing, damaged, or lacks its external data, and for free extents,
    naming them; UnsupportedOperation for opsets before 9.
    """
    onnx = need("onnx")
    model, name = _loaded(onnx, source)
    where = opsets(model)
    if where.get("", OLDEST_OPSET) < OLDEST_OPSET:
        raise UnsupportedOperation(f"{name} is of opset {where['']}; read are opset {OLDEST_OPSET} and newer")
    _fix_shapes(model, name, shapes or {})
    return _folded(model, name), name


def opsets(model: Any) -> dict[str, int]:
    """Domain ("" for ONNX's own) -> version."""
    return {"" if entry.domain == "ai.onnx" else entry.domain: int(entry.version) for entry in model.opset_import}


def _loaded(onnx: Any, source: Any) -> tuple[Any, str]:
    if not isinstance(source, (str, os.PathLike)):
        copy = type(source)()
        copy.CopyFrom(source)
        return copy, source.graph.name or "model"
    path = Path(source)
    if not path.is_file():
        raise InputError(f"{path} does not exist")
    try:
        model = onnx.load(path)  # with the external data beside it
    except Exception as error:  # protobuf's, onnx's and the operating system's
        raise InputError(f"{path} cannot be read as an ONNX model: {_line(error)}") from None
    if not model.graph.node or not model.opset_import:
        raise InputError(f"{path} holds no ONNX graph; is the file complete?")
    known = opsets(model)
    for domain in sorted({node.domain for node in model.graph.node} - {"ai.onnx"} - known.keys()):
        model.opset_import.add(domain=domain, version=1)  # files of QONNX often leave their domain out
    for value in model.graph.output:  # some writers leave shapes out, which follow from the inputs'
        if value.type.HasField("tensor_type") and not value.type.tensor_type.HasField("shape"):
            value.type.tensor_type.shape.SetInParent()
    try:
        onnx.checker.check_model(model if model.ByteSize() < 1 << 30 else str(path))
    except Exception as error:
        raise InputError(f"{path} is not a valid ONNX model: {_line(error)}") from None
    return model, path.name


def _line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _fix_shapes(model: Any, name: str, given: Shapes) -> None:
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    if not isinstance(given, Mapping) and len(given) not in (0, len(inputs)):
        names = ", ".join(value.name for value in inputs)
        raise InputError(f"{name} has {len(inputs)} inputs ({names}), but shapes of {len(given)} are given")
    shapes = given if isinstance(given, Mapping) else {value.name: each for value, each in zip(inputs, given, strict=False)}
    if unknown := [given for given in shapes if given not in {value.name for value in inputs}]:
        raise InputError(f"{name} has no input {', '.join(unknown)}; it has {', '.join(value.name for value in inputs)}")
    free: list[str] = []
    for value in inputs:
        tensor = value.type.tensor_type
        if value.name in shapes:
            wanted = tuple(int(size) for size in shapes[value.name])
            if tensor.HasField("shape") and len(tensor.shape.dim) not in (0, len(wanted)):
                axes = len(tensor.shape.dim)
                raise InputError(f"{name}: input {value.name} has {axes} axes, the shape {wanted} given for it {len(wanted)}")
            tensor.ClearField("shape")
            for size in wanted:
                tensor.shape.dim.add().dim_value = size
        elif not tensor.HasField("shape"):
            free.append(f"{value.name} (of unknown rank)")
        else:
            open_axes = [(axis, dim) for axis, dim in enumerate(tensor.shape.dim) if dim.dim_value < 1]
            free += [f"{value.name}'s axis {axis} ({dim.dim_param or 'without a name'})" for axis, dim in open_axes]
    if free:
        said = {value.name: _sizes(value) for value in inputs if value.name in shapes or "N" in _sizes(value)}
        option = ",".join(f"{key}={sizes}" for key, sizes in said.items())
        argument = ", ".join(f"{key!r}: (...)" for key in said)
        raise InputError(
            f"{name} leaves extents of its inputs free: {', '.join(free)}; compiled networks have fixed shapes: "
            f"say --input-shape {option}, or example_inputs={{{argument}}}"
        )


def _sizes(value: Any) -> str:
    """``1x3xNxN``: the extents of an input, N for those that are free."""
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return "NxNxNxN"
    return "x".join(str(dim.dim_value) if dim.dim_value >= 1 else "N" for dim in tensor.shape.dim)


def _folded(model: Any, name: str) -> Any:
    """Functions inlined, sub-graphs of constants evaluated, dead nodes removed; shapes known to whoever asks by ``Shape``.

    Not ``onnxscript.optimizer.optimize``: that rewrites too, and some of its rules change values (Relu behind Clip(-1, -0.5)
    becomes Clip(0, -0.5); auto_pad of a dilated Conv loses the dilation)."""
    for value in [*model.graph.output, *model.graph.value_info]:  # free extents in there follow from the inputs'
        if value.type.HasField("tensor_type"):
            value.type.tensor_type.ClearField("shape")
    del model.graph.value_info[:]
    serde, optimizer = need("onnxscript.ir").serde, need("onnxscript.optimizer")
    try:
        held = serde.deserialize_model(model)
        optimizer.inline(held)
        optimizer.fold_constants(held, onnx_shape_inference=True, input_size_limit=_FOLDED, output_size_limit=_FOLDED)
        optimizer.remove_unused_nodes(held)
        return serde.serialize_model(held)
    except Exception as error:
        raise InputError(f"{name}: its constant parts cannot be evaluated: {_line(error)}") from error
