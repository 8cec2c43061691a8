"""What is refused says in the user's words what it is, where it stands and what to write instead; what it says to write works."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lowbit.errors import UnsupportedOperation
from lowbit.frontend import evaluate, import_model
from lowbit.frontend.handlers.table import HANDLERS
from lowbit.frontend.refusals import INSTEAD

Function = Callable[[Tensor], Tensor]
X = torch.randn((2, 4, 6, 6), generator=torch.Generator().manual_seed(3))


class Written(nn.Module):
    def __init__(self, function: Callable[..., Any], **parts: Any) -> None:
        super().__init__()
        self.function = function
        for name, part in parts.items():
            if isinstance(part, nn.Module):
                setattr(self, name, part)
            else:
                self.register_buffer(name, part)

    def forward(self, x: Tensor) -> Any:
        return self.function(x)


def refusal(model: nn.Module, x: Tensor = X) -> str:
    with pytest.raises(UnsupportedOperation) as error:
        import_model(model, x)
    message = str(error.value)
    assert "\n" not in message
    return message


def test_nothing_is_both_compiled_and_refused() -> None:
    assert not set(INSTEAD) & set(HANDLERS)


# What to write instead: refused and accepted spelling, with the same values


_POWERS = torch.linspace(2.5, 3.5, 24).reshape(4, 6, 1)

REWRITTEN: dict[str, tuple[Function, Function]] = {
    r"exponents of 24 values.*for positive x write \(x.log\(\) \* p\).exp\(\)": (
        lambda x: x.clamp(min=1e-6) ** _POWERS,
        lambda x: (x.clamp(min=1e-6).log() * _POWERS).exp(),
    ),
}


@pytest.mark.parametrize("advice", REWRITTEN)
def test_what_to_write_instead_is_the_same_and_works(advice: str) -> None:
    refused, accepted = REWRITTEN[advice]
    with pytest.raises(UnsupportedOperation, match=advice):
        import_model(Written(refused), X)
    graph = import_model(Written(accepted), X)
    (got,) = evaluate(graph, [X])
    torch.testing.assert_close(got, refused(X), rtol=1e-5, atol=1e-5)


WORDS: dict[str, Callable[[Tensor], Any]] = {
    r"norm .*of order 3.0; supported are 2, 1, inf and -inf": lambda x: torch.norm(x, 3, 1),
    r"argsort .*torch.int64.* return the values before it \(logits\)": lambda x: (x, x.argsort(1)),
    r"topk .*k = 2; supported is k = 1": lambda x: torch.topk(x, 2, 1)[0],
    r"mul .*computes with positions \(argmax\); they can be reshaped and returned": lambda x: x.argmax(1, keepdim=True) * x,
    r"float .*computes with positions": lambda x: x.argmax(1).float(),
    r"add .*computes with positions": lambda x: x.argmax(1) + 1,
    r"sort .* order of its result": lambda x: torch.sort(x, 1)[0],
    r"antialias=True is not": lambda x: F.interpolate(x, (3, 3), mode="bilinear", antialias=True),
    r"3 spatial axes .* resized only by nearest": lambda x: F.interpolate(x[:, None], scale_factor=2, mode="trilinear"),
    r"scatter_add .* adding into a part": lambda x: x.scatter_add(1, torch.zeros(2, 1, 6, 6, dtype=torch.int64), x),
    r"result 1 of .* leave positions to the caller, and for unpooling write": lambda x: F.max_unpool2d(
        *F.max_pool2d(x, 2, return_indices=True), 2
    ),
    r"einsum 'abcd->acbd': supported are two operands": lambda x: torch.einsum("abcd->acbd", x),
    r"einsum 'abcd,abcd->abcd' is no matrix product; write it with mul and sum": lambda x: torch.einsum("abcd,abcd->abcd", x, x),
    r"linear .*second factor must be a constant matrix; .* write torch.matmul": lambda x: F.linear(x, x[0, 0]),
    r"isnan .* condition \(torch.bool\)": lambda x: x.isnan().float() * x,
    r"output 0 of .* is torch.bool; outputs are torch.float32": lambda x: x > 0,
    r"logical_not .* must be conditions, such as x > 0; of numbers write x != 0": lambda x: torch.logical_not(x).float(),
    r"sum .*it gives torch.int64": lambda x: (x > 0).sum(1).float(),
    r"bool .*it gives torch.bool": lambda x: x.bool().float(),
    r"item .* known only at run time; keep it a tensor": lambda x: x + x.mean().item(),
    r"round .* quantization rounds": lambda x: torch.round(x),
    r"grid_sample.* positions computed at run time": lambda x: F.grid_sample(
        x, x[:, :2].permute(0, 2, 3, 1), align_corners=False
    ),
    r"fft_rfft2? .* compute the spectrum outside": lambda x: torch.fft.rfft2(x).abs(),
    r"dropout2d \(aten.feature_dropout.* active .* pass training=self.training": lambda x: F.dropout2d(x, 0.1),
    r"pad .* it wraps 2 elements around axis 3, of which 1 are left": lambda x: F.pad(x[..., :3], (-2, 2, 0, 0), "circular"),
    r"output 1 of Written is torch.float64; outputs are torch.float32": lambda x: (x, x * torch.ones(6, dtype=torch.float64)),
}


@pytest.mark.parametrize("words", WORDS)
def test_in_the_words_of_the_user(words: str) -> None:
    with pytest.raises(UnsupportedOperation, match=words):
        import_model(Written(WORDS[words]), X)


LAYERS: dict[str, nn.Module] = {
    "nn.LSTM (aten.lstm.input) in inner.0 ": nn.LSTM(6, 5),
    "nn.GRU (aten.gru.input) in inner.0 ": nn.GRU(6, 5),
    "nn.RNN (aten.rnn.input) in inner.0 ": nn.RNN(6, 5),
}


class Around(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.inner = nn.Sequential(layer)

    def forward(self, x: Tensor) -> Any:
        return self.inner[0](x[0] if isinstance(self.inner[0], nn.RNNBase) else x)  # the line


@pytest.mark.parametrize("start", LAYERS)
def test_a_layer_is_named_with_its_path_and_line(start: str) -> None:
    source, first = inspect.getsourcelines(Around)
    line = first + next(index for index, text in enumerate(source) if "# the line" in text)
    message = refusal(Around(LAYERS[start]))
    assert message.startswith(start)
    assert f"in inner.0 (test_refusals.py:{line}): " in message
    assert "info --operations" not in message


def test_three_spatial_axes() -> None:
    message = refusal(nn.Sequential(nn.Conv3d(3, 4, 3)), torch.zeros(1, 3, 4, 8, 8))
    assert message.startswith("nn.Conv3d (aten.conv3d.default) in 0: 3 spatial axes")


def test_a_long_sequence_is_refused_before_it_is_unrolled() -> None:
    model = nn.Sequential(nn.LSTM(4, 4, 2))
    began = time.process_time()
    assert refusal(model, torch.zeros(2000, 1, 4)).startswith("nn.LSTM (aten.lstm.input) in 0: recurrent layers")
    assert time.process_time() - began < 20  # unrolled: minutes
    assert not model[0]._forward_pre_hooks
