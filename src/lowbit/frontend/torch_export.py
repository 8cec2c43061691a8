"""``torch.nn.Module`` -> float graph, through ``torch.export``."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import fx
from torch.export.graph_signature import InputKind, OutputKind

from lowbit.errors import InputError, UnsupportedOperation
from lowbit.frontend.aliases import is_write, writes_through_views
from lowbit.frontend.builder import Builder
from lowbit.frontend.call import Call, bind, schema_of, source_line
from lowbit.frontend.handlers.table import HANDLERS
from lowbit.frontend.refusals import instead
from lowbit.frontend.tracing import export
from lowbit.graph import Graph

__all__ = ["import_model"]

_NN, _CONTAINERS = "torch.nn.modules.", "torch.nn.modules.container."
_NO_VALUE = frozenset({"_assert_tensor_metadata", "_assert_async", "_assert_scalar"})
"""Checks that tracing leaves in the program; shapes and dtypes are fixed here."""

_NO_STATE = "a compiled network has no state: make it an input and an output"

_WIDENED = frozenset({"add", "sub", "subtract", "rsub", "mul", "multiply", "div", "divide", "true_divide", "neg"})
"""Arithmetic that float64 constants (means from numpy) make float64; it is computed in float32, which holds what follows."""

_SUPPORTED = ", ".join(sorted(name for name in HANDLERS if not name.startswith("_")))


def import_model(
    model: torch.nn.Module, example_inputs: torch.Tensor | tuple[torch.Tensor, ...], name: str | None = None
) -> Graph:
    """The network as it computes in evaluation mode on inputs of exactly these shapes.

    The model keeps its training flags and its weights.  Node names are module paths.  Raises
    InputError for inputs that are not float32 tensors, UnsupportedOperation for what cannot be
    compiled, NumericsError for weights that are not finite.
    """
    if not isinstance(model, torch.nn.Module):
        raise InputError(f"model is a {type(model).__name__}; it must be a torch.nn.Module")
    while hasattr(model, "_orig_mod"):  # torch.compile's wrapper
        model = model._orig_mod
    examples = _checked(example_inputs)
    with _evaluation_mode(model), torch.no_grad():
        program = export(model, examples)
        if writes_through_views(program.graph):
            program = program.run_decompositions({})
        return _Walk(program, name or type(model).__name__).run()


def _checked(example_inputs: Any) -> tuple[torch.Tensor, ...]:
    examples = example_inputs if isinstance(example_inputs, (tuple, list)) else (example_inputs,)
    if not examples:
        raise InputError("example_inputs is empty; give one float32 tensor for each input of the model")
    for index, example in enumerate(examples):
        if not isinstance(example, torch.Tensor):
            raise InputError(f"example input {index} is a {type(example).__name__}; inputs must be float32 tensors")
        if example.dtype != torch.float32:
            raise InputError(f"example input {index} is {example.dtype}; inputs must be torch.float32 tensors")
        if not example.numel():
            raise InputError(f"example input {index} has shape {tuple(example.shape)}; every extent must be at least 1")
    return tuple(examples)


@contextmanager
def _evaluation_mode(model: torch.nn.Module) -> Iterator[None]:
    flags = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in flags:
            module.training = training


class _Walk:
    """One pass over the traced program: ``env`` holds the value of every node so far."""

    def __init__(self, program: torch.export.ExportedProgram, name: str) -> None:
        self.program = program
        self.name = name
        self.env: dict[fx.Node, Any] = {}
        self.kinds = {spec.arg.name: spec for spec in program.graph_signature.input_specs}
        self.tensors = {**program.state_dict, **program.constants}
        names = {id(tensor): _path(name) for name, tensor in self.tensors.items() if isinstance(tensor, torch.Tensor)}
        self.builder = Builder(names)
        calls = Counter(_module(node)[0] for node in program.graph.nodes if node.op == "call_function")
        parents = {path.rpartition(".")[0] for path in calls}
        self.single = {path for path, count in calls.items() if path and count == 1 and path not in parents}

    def run(self) -> Graph:
        outputs: list[str] = []
        for node in self.program.graph.nodes:
            if node.op == "placeholder":
                self.env[node] = self._placeholder(node)
            elif node.op == "get_attr":
                self.env[node] = operator.attrgetter(node.target)(self.program.graph_module)
            elif node.op == "call_function":
                self.env[node] = self._call(node)
            else:
                outputs = self._outputs(node)
        return self.builder.graph(self.name, outputs)

    def _placeholder(self, node: fx.Node) -> Any:
        spec = self.kinds[node.name]
        if spec.kind == InputKind.USER_INPUT:
            return self.builder.add_input(node.name, node.meta["val"].shape)
        return self.tensors[spec.target]

    def _outputs(self, node: fx.Node) -> list[str]:
        values: list[str] = []
        for spec, output in zip(self.program.graph_signature.output_specs, node.args[0], strict=True):
            if spec.kind == OutputKind.BUFFER_MUTATION:
                raise UnsupportedOperation(f"the model changes its buffer {_path(spec.target)}; {_NO_STATE}")
            value = self.env[output] if isinstance(output, fx.Node) else output
            if spec.kind == OutputKind.USER_OUTPUT and not isinstance(value, str):
                what = f"output {len(values)} of {self.name}"
                raise UnsupportedOperation(f"{what} does not depend on the inputs; remove it from the model's outputs")
            if spec.kind == OutputKind.USER_OUTPUT:
                dtype = output.meta["val"].dtype
                if dtype != torch.float32:
                    what = f"output {len(values)} of {self.name} is {dtype}"
                    raise UnsupportedOperation(f"{what}; outputs are torch.float32: end with .float(), or make buffers float32")
                values.append(value)
        return values

    def _call(self, node: fx.Node) -> Any:
        call = self._describe(node)
        if node.target is operator.getitem:
            return self._item(node, call)
        if call.op in _NO_VALUE:
            return None
        operands = [self.env[operand] for operand in node.all_input_nodes]
        if is_write(node) and not isinstance(self.env[node.args[0]], str) and node.args[0].op == "placeholder":
            state = _path(self.kinds[node.args[0].name].target)
            call.refuse(f"it changes {state}, a parameter or buffer; {_NO_STATE}")
        if not any(map(_has_activation, operands)):
            if torch.Tag.nondeterministic_seeded in node.target.tags:
                call.refuse("random numbers in evaluation mode; a compiled network always gives the same output")
            result = node.target(*fx.map_arg(node.args, self._copy), **fx.map_arg(node.kwargs, self._copy))
        elif call.op not in HANDLERS:
            call.refuse(instead(call) or f"lowbit cannot compile this operation; supported are {_SUPPORTED}")
        elif call.dtype != torch.float32 and not (call.dtype == torch.float64 and call.op in _WIDENED):
            call.refuse(
                f"it gives {call.dtype}; activations are torch.float32 until lowbit quantizes them: leave the conversion out, "
                "and make buffers and parameters float32 (model.float())"
            )
        else:
            result = HANDLERS[call.op](self.builder, call)
        if isinstance(result, tuple) and not isinstance(node.meta["val"], (list, tuple)):
            (result,) = result
        if is_write(node):
            old = self.env[node.args[0]]
            self.env.update({other: result for other, value in self.env.items() if value is old})
        return result

    def _item(self, node: fx.Node, call: Call) -> Any:
        """One of several results; those that no handler gives may not be read."""
        values, index = self.env[node.args[0]], node.args[1]
        if index < len(values):
            return values[index]
        if node.users:
            call.refuse(
                f"result {index} of {node.args[0].target} (indices or statistics) is not supported, only its values; leave "
                "positions to the caller, and for unpooling write pixel_shuffle"
            )
        return None

    def _copy(self, node: fx.Node) -> Any:
        """A constant that an in-place operation may overwrite without reaching the model."""
        value = self.env[node]
        return value.clone() if isinstance(value, torch.Tensor) else value

    def _describe(self, node: fx.Node) -> Call:
        module, layer = _module(node)
        source = source_line(node.meta.get("stack_trace"))
        schema = schema_of(node)
        if schema is None:
            target = getattr(node.target, "__name__", str(node.target))
            return Call(target, target, {}, ((),), module=module, source=source, layers=_layers(node), function=_function(node))
        op = schema.name.split("::")[-1]
        value = node.meta["val"]
        results = [each for each in (value if isinstance(value, (list, tuple)) else [value]) if isinstance(each, torch.Tensor)]
        return Call(
            op=op.rstrip("_") if is_write(node) else op,
            target=str(node.target),
            args=bind(node, self.env.__getitem__),
            shapes=tuple(tuple(result.shape) for result in results) or ((),),
            dtype=results[0].dtype if results else None,
            module=module,
            source=source,
            layer=layer or module in self.single,
            readers=tuple(_reader(user) for user in node.users),
            layers=_layers(node),
            function=_function(node),
        )


def _module(node: fx.Node) -> tuple[str, bool]:
    """Path of the innermost module, and whether that is a layer of ``torch.nn``."""
    stack = _stack(node)
    if not stack:
        return "", False
    path, kind = stack[-1]
    return path, bool(path) and kind.startswith(_NN)


def _path(name: str) -> str:
    """A module's path or a parameter's without what ``torch.compile`` put into it."""
    return ".".join(part for part in name.split(".") if part != "_orig_mod")


def _stack(node: fx.Node) -> list[tuple[str, str]]:
    """(path, class) of every module around the call, outermost first."""
    stack = (node.meta.get("nn_module_stack") or {}).values()
    return [(_path(path), kind if isinstance(kind, str) else f"{kind.__module__}.{kind.__qualname__}") for path, kind in stack]


def _layers(node: fx.Node) -> tuple[str, ...]:
    """Classes of the layers of ``torch.nn`` around the call, outermost first, containers left out."""
    kinds = [kind for _, kind in _stack(node)]
    return tuple(kind.rpartition(".")[2] for kind in kinds if kind.startswith(_NN) and not kind.startswith(_CONTAINERS))


def _function(node: fx.Node) -> str:
    """The torch function that was called: ``normalize`` for the ``linalg_vector_norm`` in it, "" if unknown."""
    return str((node.meta.get("torch_fn") or ("", ""))[1]).rpartition(".")[2]


def _reader(user: fx.Node) -> str:
    schema = schema_of(user)
    return schema.name.split("::")[-1].rstrip("_") if schema is not None else user.op


def _has_activation(value: Any) -> bool:
    return any(map(_has_activation, value)) if isinstance(value, (list, tuple)) else isinstance(value, str)
