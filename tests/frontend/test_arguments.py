"""No argument is left out in silence: it is read, named as one that only shapes, or refused."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterator

import pytest
import torch
import torch.nn.functional as F

from lowbit.errors import InputError, NumericsError, UnsupportedOperation
from lowbit.frontend import evaluate, import_model
from lowbit.frontend.arguments import HARMLESS, Arguments
from lowbit.frontend.handlers import shape, table
from lowbit.frontend.handlers.table import HANDLERS
from tests.frontend.cases import Lambda

X = torch.linspace(-3, 3, 24).reshape(2, 3, 4)


def _overloads(op: str) -> Iterator[object]:
    packet = getattr(torch.ops.aten, op)
    yield from (getattr(packet, name)._schema for name in packet.overloads())


def _names_in(module: object) -> set[str]:
    tree = ast.parse(inspect.getsource(module))
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def _parameters_of(function: Callable[..., object]) -> set[str] | None:
    """Names that a definition takes; None: all that torch gives."""
    if isinstance(function, torch._ops.OpOverloadPacket):
        return None
    parameters = inspect.signature(function).parameters
    return None if any(p.kind is p.VAR_KEYWORD for p in parameters.values()) else set(parameters)


@pytest.mark.parametrize("op", [op for op, handler in HANDLERS.items() if handler is not shape.reshape])
def test_every_argument_of_every_overload_is_known_to_its_handler(op: str) -> None:
    """The names stand in the handler's file, or in the line of the table, or are parameters of a definition; ``reshape`` takes
    all but the shape as read."""
    definition = getattr(HANDLERS[op], "__wrapped__", None)
    if definition is not None and (parameters := _parameters_of(definition)) is None:
        return
    known = parameters if definition is not None else _names_in(inspect.getmodule(HANDLERS[op])) | _names_in(table)
    known |= HARMLESS
    for schema in _overloads(op):
        if not any("Tensor" in str(argument.type) for argument in schema.arguments):
            continue  # arithmetic of numbers and lists
        if "..." in str(schema):
            continue  # of TorchScript
        if "..." in str(schema):
            continue  # of TorchScript
        if not any("Tensor" in str(result.type) for result in schema.returns):
            continue  # methods of TorchScript's lists
        plain = [
            a.name for a in schema.arguments if "Dimname" not in str(a.type) and not (a.alias_info and a.alias_info.is_write)
        ]
        assert [name for name in plain if name not in known] == [], str(schema)


def test_an_argument_that_no_handler_read_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetful(b: object, call: object) -> object:
        return b.emit(call, "unary", [call.args["self"]], call.shape, fn="softplus", beta=call.args["beta"])

    monkeypatch.setitem(HANDLERS, "softplus", forgetful)
    (y,) = evaluate(import_model(Lambda(lambda self, x: F.softplus(x, 2.0)), X), [X])
    torch.testing.assert_close(y, F.softplus(X, 2.0))
    with pytest.raises(UnsupportedOperation, match=r"softplus .*cases.py:\d+.* its argument threshold = 0.5 is not"):
        import_model(Lambda(lambda self, x: F.softplus(x, 1.0, 0.5)), X)


def test_what_counts_as_looked_at() -> None:
    args = Arguments({"a": 1, "b": 2, "c": [3], "d": None, "e": 5, "dtype": torch.float32}, {"b": 2, "c": [], "d": None, "e": 4})
    assert "a" in args
    assert args.get("z", 7) == 7
    assert args.ignored() == {"a": 1, "c": [3], "e": 5}
    assert args["a"] == 1
    args.shape_only("c")
    args.without_effect("e")
    assert args.ignored() == {}


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x * 1e300, "holds 1 NaN or Inf of 1"),
        (lambda x: x + torch.full((4,), 1e300, dtype=torch.float64), "holds 4 NaN or Inf of 4"),
        (lambda x: F.leaky_relu(x, float("inf")), "negative_slope of aten.leaky_relu.* is inf, which is not a finite float32"),
        (lambda x: x.clamp(float("nan"), 1), "a bound of aten.clamp.* is nan"),
        (lambda x: F.pad(x, (1, 1), value=1e39), "the value of aten.pad.* is 1e[+]39"),
        (lambda x: x.masked_fill(torch.eye(3, 4) > 0, float("inf")), "the value of aten.masked_fill.* is inf"),
        (lambda x: x ** float("nan"), "the exponent of aten.pow.* is nan"),
    ],
)
def test_numbers_must_be_finite_float32(function: object, message: str) -> None:
    with pytest.raises(NumericsError, match=message):
        import_model(Lambda(lambda self, x: function(x)), X)


def _module(parameter: torch.Tensor) -> torch.nn.Module:
    module = Lambda(lambda self, x: x * self.p)
    module.p = torch.nn.Parameter(parameter, requires_grad=False)
    return module


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (torch.nn.Conv1d(3, 4, 3).to("meta"), "parameter weight is on the meta device and has no values"),
        (torch.nn.LazyConv1d(4, 3), "parameter weight has no shape yet"),
        (_module(torch.eye(4).to_sparse()), "parameter p has layout torch.sparse_coo; call to_dense"),
        (_module(torch.quantize_per_tensor(torch.ones(4), 0.1, 0, torch.quint8)), "parameter p is quantized by torch"),
    ],
)
def test_parameters_must_have_plain_values(module: torch.nn.Module, message: str) -> None:
    with pytest.raises(InputError, match=message):
        import_model(module, X)


def test_complex_constants_are_refused() -> None:
    def function(x: torch.Tensor) -> torch.Tensor:
        return x * torch.ones(4, dtype=torch.complex64)

    with pytest.raises(UnsupportedOperation, match="it gives torch.complex64"):
        import_model(Lambda(lambda self, x: function(x)), X)


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bool, torch.bfloat16, torch.float8_e4m3fn])
def test_constants_of_other_types_are_taken_by_value(dtype: torch.dtype) -> None:
    constant = torch.tensor([1.0, 0, 3, 2]).to(dtype)
    (y,) = evaluate(import_model(Lambda(lambda self, x: x * constant.float()), X), [X])
    torch.testing.assert_close(y, X * constant.float())
    if dtype != torch.float8_e4m3fn:
        (y,) = evaluate(import_model(_module(constant), X), [X])
        torch.testing.assert_close(y, X * constant)


def test_sparse_constants_made_on_the_way() -> None:
    (y,) = evaluate(import_model(Lambda(lambda self, x: x @ torch.eye(4).to_sparse().to_dense()), X), [X])
    torch.testing.assert_close(y, X)
