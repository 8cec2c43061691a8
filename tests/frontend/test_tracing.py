"""Modules as they come out of training scripts: compiled, scripted, half precision, with branches, with state."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from lowbit.errors import UnsupportedOperation
from lowbit.frontend import evaluate, import_model
from lowbit.graph.printer import print_graph
from lowbit.passes import canonicalize

X = torch.randn((1, 3, 8, 8), generator=torch.Generator().manual_seed(5))


def plain() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1)).eval()


def never(*_: object) -> object:
    raise AssertionError("torch.compile was started")


class Wrapped(nn.Module):
    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body, self.head = body, nn.Conv2d(2, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))


def test_a_compiled_module_is_the_module_it_was_made_of() -> None:
    model = plain()
    wanted = print_graph(import_model(model, X))
    compiled = torch.compile(model, backend=never)
    assert print_graph(import_model(compiled, X)) == wanted
    model.compile(backend=never)
    assert print_graph(import_model(model, X)) == wanted


def test_a_compiled_part_leaves_no_trace_in_the_names() -> None:
    graph = import_model(Wrapped(torch.compile(plain(), backend=never)), X)
    assert [node.name for node in graph.nodes] == ["body.0", "body.1", "body.2", "body.3", "head"]
    assert "body.0.weight" in graph.constants


class Sums(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.cumprod(1)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_weights_of_another_type_are_taken_as_float32(dtype: torch.dtype) -> None:
    """With a note, whatever the example's type; the model keeps its own tensors, also where it is refused."""
    model = plain().to(dtype)
    before = {name: (value.dtype, value.data_ptr()) for name, value in model.state_dict().items()}
    with pytest.warns(UserWarning, match=f"0.weight is {dtype} and 7 more; it is compiled as float32"):
        graph = import_model(model, X)
    with pytest.warns(UserWarning, match=f"example input 0 is {dtype}; the network takes float32"):
        assert print_graph(import_model(model, X.to(dtype))) == print_graph(graph)
    with pytest.warns(UserWarning, match="compiled as float32"), pytest.raises(UnsupportedOperation, match="cumprod"):
        import_model(nn.Sequential(model, Sums()), X)
    assert {name: (value.dtype, value.data_ptr()) for name, value in model.state_dict().items()} == before
    (got,) = evaluate(graph, [X])
    expected = copy.deepcopy(model).float()(X)
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)


def test_scripted_and_traced_modules_ask_for_the_original() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = (torch.jit.script(plain()), torch.jit.trace(plain(), X))
    for model in made:
        with pytest.raises(UnsupportedOperation, match=r"made by torch\.jit, .* give the module it was made of"):
            import_model(model, X)


class Branches(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        print("a word of the model's")
        return x if x.mean() > 0 else -x


def test_control_flow_says_it_in_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UnsupportedOperation, match=r"Branches .* at test_tracing.py:\d+: control flow .* decide outside"):
        import_model(Branches(), X)
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err == "a word of the model's\n"


class Stream(nn.Module):
    """Keeps the end of its input, counts its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(3, 4, 3)
        self.register_buffer("tail", torch.zeros(1, 3, 2))
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(torch.cat((self.tail, x), -1))
        self.tail.copy_(x[..., -2:])
        self.calls.add_(1)
        return y


@pytest.mark.parametrize("wrap", [lambda m: m, nn.Sequential])
def test_state_is_named_and_left_alone(wrap: type[nn.Sequential]) -> None:
    inner = Stream()
    name = r"tail" if wrap is not nn.Sequential else r"0\.tail"
    with pytest.raises(UnsupportedOperation, match=rf"changes {name}, .* a compiled network has no state"):
        import_model(wrap(inner), X[:, :, 0])
    assert int(inner.calls) == 0
    assert not inner.tail.any()


def test_weights_computed_at_every_call() -> None:
    """weight_norm as a hook and as parametrization, spectral_norm: right, and the model as it was, trainable."""
    torch.manual_seed(2)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 2, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nn.utils.weight_norm(model[0])
    parametrizations.weight_norm(model[2])
    parametrizations.spectral_norm(model[3])
    model.eval()(X)
    before = copy.deepcopy(model.state_dict())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        graph = import_model(model, X)
    (got,) = evaluate(graph, [X])
    torch.testing.assert_close(got, model(X), rtol=1e-5, atol=1e-5)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    model.train()(X).sum().backward()
    assert model[0].weight_g.grad is not None


def test_float64_constants_in_front_of_the_network() -> None:
    """Mean and deviation from numpy make the arithmetic float64; it is computed in float32."""

    class Normalised(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Conv2d(3, 2, 3)
            self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406], dtype=torch.float64).reshape(3, 1, 1))

        def forward(self, x: Tensor) -> Tensor:
            return self.body((-(self.mean - x / 255.0) / self.mean + self.mean).float())

    model, x = Normalised(), X.abs() * 255
    (got,) = evaluate(canonicalize(import_model(model, x)), [x])
    torch.testing.assert_close(got, model(x), rtol=1e-5, atol=1e-5)


class SwishFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * torch.sigmoid(x)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, grad: Tensor) -> Tensor:
        raise AssertionError("no gradient is needed")


class Swish(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return SwishFunction.apply(x)


def test_a_function_with_a_backward_of_its_own() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), Swish())
    (got,) = evaluate(import_model(model, X), [X])
    torch.testing.assert_close(got, model(X), rtol=1e-5, atol=1e-5)


def test_training_flags_and_examples_are_as_before() -> None:
    class InPlace(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.mul_(0.5)

    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Dropout(), InPlace()).train()
    model[1].eval()
    import_model(model, X)
    assert [module.training for module in model] == [True, False, True]
    example = X.clone()
    import_model(InPlace(), example)
    assert torch.equal(example, X)
