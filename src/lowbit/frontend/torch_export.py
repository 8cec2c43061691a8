"""``torch.nn.Module`` -> float graph, through ``torch.export``."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NoReturn

import torch
from torch import fx
from torch.export.graph_signature import ConstantArgument, InputKind, OutputKind, TensorArgument
from torch.utils._pytree import tree_unflatten

from lowbit.errors import InputError, UnsupportedOperation, warn
from lowbit.frontend.arguments import Arguments
from lowbit.frontend.builder import Builder
from lowbit.frontend.call import Call, bind, operation, schema_of, source_line
from lowbit.frontend.decomposed import NAMESPACE, rounding
from lowbit.frontend.handlers.dispatch import handled, is_held
from lowbit.frontend.handlers.table import HANDLERS
from lowbit.frontend.inlined import inlined
from lowbit.frontend.memory import Memory, shares_memory
from lowbit.frontend.parameters import as_float32, check_parameters
from lowbit.frontend.recurrent import refused_at_once
from lowbit.frontend.refusals import instead
from lowbit.frontend.scatter import merge
from lowbit.frontend.tracing import export
from lowbit.graph import Graph
from lowbit.graph.structure import Structure, flattened

__all__ = ["import_model", "import_program"]

_NN, _CONTAINERS = "torch.nn.modules.", "torch.nn.modules.container."
_NO_VALUE = frozenset({"_assert_tensor_metadata", "_assert_async", "_assert_scalar"})
"""Checks that tracing leaves in the program; shapes and dtypes are fixed here."""

_OUTPUTS = "outputs are tensors, in tuples, lists, dicts and dataclasses, with None and plain numbers"
_NO_STATE = "a compiled network has no state: make it an input and an output"

_WIDENED = frozenset({"add", "sub", "subtract", "rsub", "mul", "multiply", "div", "divide", "true_divide", "neg"})
"""Arithmetic that float64 constants (means from numpy) make float64; it is computed in float32, which holds what follows."""

_STATISTICS = frozenset({"_native_batch_norm_legit", "batch_norm_with_update", "_batch_norm_with_update"})
"""Batch norms whose schema says that they write statistics; in evaluation they do not, in training they are refused."""

_UNKNOWN = "lowbit cannot compile this operation; `lowbit info --operations` lists those it can"


def import_model(
    model: torch.nn.Module, example_inputs: torch.Tensor | tuple[torch.Tensor, ...], name: str | None = None
) -> Graph:
    """The network as it computes in evaluation mode on inputs of exactly these shapes.

    The model keeps its training flags and its weights.  Node names are module paths.  What it returns may be nested
    (``Graph.structure``).  Parameters and example inputs of other floating types are taken as float32, and a warning says so.
    Raises InputError for inputs that are not tensors of real numbers and for weights without plain values,
    UnsupportedOperation for what cannot be compiled, NumericsError for weights that are not finite.
    """
    if not isinstance(model, torch.nn.Module):
        raise InputError(f"model is a {type(model).__name__}; it must be a torch.nn.Module")
    while hasattr(model, "_orig_mod"):  # torch.compile's wrapper
        model = model._orig_mod
    examples = _checked(example_inputs)
    check_parameters(model)
    with _evaluation_mode(model), torch.no_grad(), as_float32(model), _flat_outputs(model) as structure, refused_at_once(model):
        graph = _Walk(export(model, examples), name or type(model).__name__).run()
    return replace(graph, structure=structure[-1]) if structure[-1] is not None else graph


def import_program(program: torch.export.ExportedProgram, example_inputs: Any = None, name: str | None = None) -> Graph:
    """The same of what ``torch.export.export`` made of a module, also after ``convert_pt2e``: its shapes are in it.

    ``example_inputs``: of no use, but of the program's shapes where given.  Raises InputError for extents that the program
    leaves free and for inputs of other types."""
    values = [node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"]
    kinds = [spec.kind for spec in program.graph_signature.input_specs]
    inputs = [value for value, kind in zip(values, kinds, strict=True) if kind == InputKind.USER_INPUT and value is not None]
    for index, value in enumerate(inputs):
        if not isinstance(value, torch.Tensor) or value.dtype != torch.float32:
            kind = getattr(value, "dtype", type(value).__name__)
            raise InputError(f"input {index} of the program is {kind}; inputs must be torch.float32")
        if not all(isinstance(size, int) for size in value.shape):
            raise InputError(f"input {index} of the program has shape {tuple(value.shape)}; export it without dynamic shapes")
    if example_inputs is not None:
        given, own = [tuple(x.shape) for x in _checked(example_inputs)], [tuple(x.shape) for x in inputs]
        if given != own:
            raise InputError(f"the program was exported for inputs of shapes {own}, given are {given}")
    with torch.no_grad():
        graph = _Walk(program, name or "program").run()
    structure = _structure(program)
    return graph if structure is None else replace(graph, structure=structure)


def _structure(program: torch.export.ExportedProgram) -> Structure | None:
    """How the tensors that the program returns hang together."""

    def refuse(what: str) -> NoReturn:
        raise UnsupportedOperation(f"the program returns a {what}; {_OUTPUTS}")

    outputs = [spec.arg for spec in program.graph_signature.output_specs if spec.kind == OutputKind.USER_OUTPUT]
    leaves = [arg.value if isinstance(arg, ConstantArgument) else arg for arg in outputs]
    value = tree_unflatten(leaves, program.call_spec.out_spec)
    tensors, structure = flattened(value, lambda each: isinstance(each, TensorArgument), refuse)
    assert list(map(id, tensors)) == [id(arg) for arg in outputs if isinstance(arg, TensorArgument)], "outputs in another order"
    return structure


def _checked(example_inputs: Any) -> tuple[torch.Tensor, ...]:
    examples = example_inputs if isinstance(example_inputs, (tuple, list)) else (example_inputs,)
    if not examples:
        raise InputError("example_inputs is empty; give one float32 tensor for each input of the model")
    for index, example in enumerate(examples):
        if not isinstance(example, torch.Tensor):
            raise InputError(f"example input {index} is a {type(example).__name__}; inputs must be float32 tensors")
        if not example.is_floating_point():
            raise InputError(f"example input {index} is {example.dtype}; inputs must be torch.float32 tensors")
        if example.dtype != torch.float32:
            warn(f"example input {index} is {example.dtype}; the network takes float32")
        if not example.numel():
            raise InputError(f"example input {index} has shape {tuple(example.shape)}; every extent must be at least 1")
    return tuple(example.detach().clone().float() for example in examples)  # inputs do not share memory with each other


@contextmanager
def _evaluation_mode(model: torch.nn.Module) -> Iterator[None]:
    flags = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in flags:
            module.training = training


@contextmanager
def _flat_outputs(model: torch.nn.Module) -> Iterator[list[Structure | None]]:
    """The model returns its tensors as a tuple; how they hung together is the last of the list."""
    found: list[Structure | None] = [None]
    kind = type(model).__name__

    def refuse(what: str) -> NoReturn:
        raise UnsupportedOperation(f"{kind} returns a {what}; {_OUTPUTS}")

    def flatten(_: torch.nn.Module, args: Any, output: Any) -> Any:
        tensors, structure = flattened(output, lambda value: isinstance(value, torch.Tensor), refuse)
        if not tensors:
            refuse(f"{type(output).__name__} without a tensor")
        found.append(structure)
        return output if structure is None else tuple(tensors)

    if isinstance(model, torch.jit.ScriptModule):  # takes no hooks, and is refused by name
        yield found
        return
    handle = model.register_forward_hook(flatten)
    try:
        yield found
    finally:
        handle.remove()


class _Walk:
    """One pass over the traced program: ``memory`` holds the value of every node so far."""

    def __init__(self, program: torch.export.ExportedProgram, name: str) -> None:
        self.program = program
        self.graph = inlined(program.graph_module)
        self.name = name
        self.memory = Memory(lambda node, base, value: self._compute(node, {base: value}))
        self.kinds = {spec.arg.name: spec for spec in program.graph_signature.input_specs}
        self.tensors = {**program.state_dict, **program.constants}
        names = {id(tensor): _path(name) for name, tensor in self.tensors.items() if isinstance(tensor, torch.Tensor)}
        self.builder = Builder(names)
        calls = Counter(_module(node)[0] for node in self.graph.nodes if node.op == "call_function")
        parents = {path.rpartition(".")[0] for path in calls}
        self.single = {path for path, count in calls.items() if path and count == 1 and path not in parents}

    def run(self) -> Graph:
        outputs: list[str] = []
        for node in self.graph.nodes:
            if node.op == "placeholder":
                self.memory.define(node, self._placeholder(node))
            elif node.op == "get_attr":
                self.memory.define(node, operator.attrgetter(str(node.target))(self.program.graph_module))
            elif node.op == "call_function":
                self._step(node)
            else:
                outputs = self._outputs(node)
        return self.builder.graph(self.name, outputs)

    def _placeholder(self, node: fx.Node) -> Any:
        spec = self.kinds[node.name]
        if spec.kind == InputKind.USER_INPUT:
            return self.builder.add_input(node.name, node.meta["val"].shape) if "val" in node.meta else None
        return self.tensors[spec.target]

    def _outputs(self, node: fx.Node) -> list[str]:
        values: list[str] = []
        for spec, output in zip(self.program.graph_signature.output_specs, node.args[0], strict=True):
            if spec.kind == OutputKind.BUFFER_MUTATION:
                raise UnsupportedOperation(f"the model changes its buffer {_path(spec.target)}; {_NO_STATE}")
            if spec.kind == OutputKind.USER_OUTPUT and isinstance(spec.arg, ConstantArgument):
                continue  # None or a plain number: a part of the structure
            value = self.memory[output] if isinstance(output, fx.Node) else output
            if spec.kind == OutputKind.USER_OUTPUT and not isinstance(value, str):
                what = f"output {len(values)} of {self.name}"
                raise UnsupportedOperation(f"{what} does not depend on the inputs; remove it from the model's outputs")
            if spec.kind == OutputKind.USER_OUTPUT:
                dtype = output.meta["val"].dtype
                if dtype != torch.float32 and not (dtype == torch.int64 and self.builder.positions(value)):
                    what = f"output {len(values)} of {self.name} is {dtype}"
                    raise UnsupportedOperation(f"{what}; outputs are torch.float32: end with .float(), or make buffers float32")
                values.append(value)
        return values

    def _step(self, node: fx.Node) -> None:
        """The value of one operation, and what it changes."""
        target = self._written(node)
        result = self._compute(node, {})
        if target is not None:
            call = self._describe(node, {})
            self.memory.write(target, result, lambda view, base, old, new: self._merge(call, view, base, old, new))
        self.memory.define(node, result, target if target is not None else shares_memory(node), writes=target is not None)

    def _written(self, node: fx.Node) -> fx.Node | None:
        """The operand whose elements the operation changes; refused where that cannot be followed."""
        schema = schema_of(node)
        if schema is None or torch.Tag.inplace_view in node.target.tags:
            return None
        written = [argument.name for argument in schema.arguments if argument.alias_info and argument.alias_info.is_write]
        if not written or operation(node) in _STATISTICS:
            return None
        call = self._describe(node, {})
        operands = dict(zip((argument.name for argument in schema.arguments), node.args, strict=False)) | dict(node.kwargs)
        target = operands.get(written[0])
        returned = schema.returns[0].alias_info if len(schema.returns) == 1 else None
        if len(written) > 1 or returned is None or not returned.is_write or not isinstance(target, fx.Node):
            call.refuse(f"it writes to its operands {', '.join(written)}, which is not supported")
        if tuple(target.meta["val"].shape) != call.shape:
            call.refuse(f"it changes the shape of what it writes to, {tuple(target.meta['val'].shape)}, to {call.shape}")
        if self.memory.shows_twice(target):
            call.refuse("it writes into windows that overlap, where an element has several values; write to a copy, x.clone()")
        root = self.memory.root(target)
        if root.op == "get_attr" or (root.op == "placeholder" and self.kinds[root.name].kind != InputKind.USER_INPUT):
            name = _path(self.kinds[root.name].target if root.name in self.kinds else str(root.target))
            call.refuse(f"it changes {name}, a parameter or buffer; {_NO_STATE}")
        return target

    def _merge(self, call: Call, view: fx.Node, base: fx.Node, old: Any, new: Any) -> Any:
        arguments = {} if schema_of(view) is None else dict(bind(view, lambda node: old if node is base else self.memory[node]))
        return merge(self.builder, call, view, arguments, old, new)

    def _compute(self, node: fx.Node, other: dict[fx.Node, Any]) -> Any:
        """The result of one operation; ``other``: values of operands other than those in memory now."""
        call = self._describe(node, other)
        if node.target is operator.getitem:
            return self._item(node, call, other)
        if call.op in _NO_VALUE:
            return None
        if schema_of(node) is None:
            call.refuse(instead(call) or _UNKNOWN)
        if node.target.namespace == NAMESPACE:
            return rounding(self.builder, call)
        read = self._reader(other)
        if not any(_has_activation(read(operand)) for operand in node.all_input_nodes):
            if torch.Tag.nondeterministic_seeded in node.target.tags and call.args.get("train", call.args.get("dropout_p", True)):
                call.refuse("random numbers in evaluation mode; a compiled network always gives the same output")

            def copy(operand: fx.Node) -> Any:
                """A constant that an in-place operation may overwrite without reaching the model.  Dense, so that every
                ``view`` of it exists, whatever the strides it has been given here."""
                value = read(operand)
                dense = isinstance(value, torch.Tensor) and value.layout == torch.strided
                return value.clone(memory_format=torch.contiguous_format) if dense else value

            if call.op == "as_strided":
                call.refuse("it depends on how the tensor lies in memory")
            result = node.target(*fx.map_arg(node.args, copy), **fx.map_arg(node.kwargs, copy))
        elif call.op not in HANDLERS:
            call.refuse(instead(call) or _UNKNOWN)
        elif not (is_held(self.builder, call) or (call.dtype == torch.float64 and call.op in _WIDENED)):
            call.refuse(
                f"it gives {call.dtype}; activations are torch.float32 until lowbit quantizes them: leave the conversion out, "
                "and make buffers and parameters float32 (model.float())"
            )
        else:
            result = handled(self.builder, call)
        if isinstance(result, tuple) and not isinstance(node.meta["val"], (list, tuple)):
            (result,) = result
        return result

    def _reader(self, other: dict[fx.Node, Any]) -> Callable[[fx.Node], Any]:
        return lambda node: other[node] if node in other else self.memory[node]

    def _item(self, node: fx.Node, call: Call, other: dict[fx.Node, Any]) -> Any:
        """One of several results; those that no handler gives may not be read."""
        values, index = self._reader(other)(node.args[0]), node.args[1]
        if index < len(values):
            return values[index]
        if node.users:
            call.refuse(
                f"result {index} of {node.args[0].target} (indices or statistics) is not supported, only its values; leave "
                "positions to the caller, and for unpooling write pixel_shuffle"
            )
        return None

    def _describe(self, node: fx.Node, other: dict[fx.Node, Any]) -> Call:
        module, layer = _module(node)
        source = source_line(node.meta.get("stack_trace"))
        schema = schema_of(node)
        if schema is None:
            target = getattr(node.target, "__name__", str(node.target))
            none = Arguments({}, {})
            return Call(target, target, none, ((),), module=module, source=source, layers=_layers(node), function=_function(node))
        op = operation(node)
        value = node.meta["val"]
        results = [each for each in (value if isinstance(value, (list, tuple)) else [value]) if isinstance(each, torch.Tensor)]
        if not all(isinstance(size, int) for result in results for size in result.shape):
            where = f"{node.target} in {module or 'the model'} ({source})"
            raise UnsupportedOperation(f"{where}: the shape of its result depends on values; compiled networks have fixed shapes")
        return Call(
            op=op.rstrip("_") if op not in HANDLERS else op,
            target=str(node.target),
            args=bind(node, self._reader(other)),
            shapes=tuple(tuple(result.shape) for result in results) or ((),),
            dtype=results[0].dtype if results else None,
            module=module,
            source=source,
            layer=layer or module in self.single,
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


def _has_activation(value: Any) -> bool:
    return any(map(_has_activation, value)) if isinstance(value, (list, tuple)) else isinstance(value, str)
