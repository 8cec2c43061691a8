"""evaluate: observation, memory, input checks, and windows of every shape."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lowbit.errors import InputError
from lowbit.frontend import evaluate, import_model, windows
from lowbit.frontend.pointwise import POINTWISE
from lowbit.graph.unary import UNARY, apply_unary
from lowbit.passes import canonicalize


def _network() -> tuple[nn.Module, torch.Tensor]:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2)), torch.randn(2, 3, 8, 8)


def test_observe_sees_inputs_and_every_node_in_order() -> None:
    model, x = _network()
    graph = canonicalize(import_model(model, x))
    seen: dict[str, torch.Tensor] = {}
    (y,) = evaluate(graph, [x], lambda name, value: seen.__setitem__(name, value.clone()))
    assert list(seen) == [*graph.inputs, *(node.name for node in graph.nodes)]
    assert torch.equal(seen[graph.inputs[0]], x)
    assert torch.equal(seen["3"], y)
    assert float(seen["0"].min()) == 0


def test_a_row_does_not_depend_on_the_others() -> None:
    """To the last bit: sums, and functions whose vector instructions differ from what is done for the last elements."""

    class Everything(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm, self.fc = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(20, 7)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = torch.sigmoid(self.norm(self.conv(x))) + torch.tanh(self.conv(x)) * nn.functional.elu(self.conv(x))
            y = nn.functional.silu(self.fc(nn.functional.avg_pool2d(y, (1, 3)).flatten(1)))
            return y.softmax(1) + y.exp()

    torch.manual_seed(4)
    model, x = Everything().eval(), torch.randn(5, 3, 7, 5)
    together, alone = (canonicalize(import_model(model, x[:count])) for count in (5, 1))
    seen: list[dict[str, torch.Tensor]] = [{}, {}]
    evaluate(together, [x], lambda name, value: seen[0].__setitem__(name, value.clone()))
    for row in range(5):
        evaluate(alone, [x[row : row + 1]], lambda name, value: seen[1].__setitem__(name, value.clone()))
        assert [name for name, value in seen[1].items() if not torch.equal(value, seen[0][name][row : row + 1])] == []


def test_a_row_does_not_depend_on_its_address() -> None:
    """Rows of 72 bytes: only the first lies where memory of its own would."""
    torch.manual_seed(4)
    model, x = nn.Conv2d(18, 3, 1), torch.randn(9, 18, 1, 1)
    together, alone = (import_model(model, x[:count]) for count in (9, 1))
    (got,) = evaluate(together, [x])
    assert torch.equal(got, torch.cat([evaluate(alone, [row.clone()])[0] for row in x.split(1)]))
    assert torch.equal(got, torch.cat([evaluate(alone, [row])[0] for row in x.split(1)]))


def test_values_and_dtypes() -> None:
    model, x = _network()
    graph = import_model(model, x)
    assert evaluate(graph, [x])[0].dtype == torch.float32
    assert evaluate(graph, [x], dtype=torch.float64)[0].dtype == torch.float64
    with torch.no_grad():
        torch.testing.assert_close(evaluate(graph, [x])[0], model(x))


def test_fused_operations_leave_inputs_and_constants_alone() -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.relu((self.conv(x) + x).clamp(max=0.5))

    torch.manual_seed(0)
    x = torch.randn(1, 3, 4, 4)
    graph = canonicalize(import_model(Residual(), x))
    before, constants = x.clone(), {name: value.copy() for name, value in graph.constants.items()}
    first, second = evaluate(graph, [x]), evaluate(graph, [x])
    assert torch.equal(x, before)
    assert torch.equal(first[0], second[0])
    assert all(np.array_equal(graph.constants[name], value) for name, value in constants.items())


def test_inputs_are_checked() -> None:
    model, x = _network()
    graph = import_model(model, x)
    with pytest.raises(InputError, match=r"takes 1 inputs \(.*\), got 2"):
        evaluate(graph, [x, x])
    with pytest.raises(InputError, match=r"has shape \(2, 3, 8, 8\), got \(1, 3, 8, 8\)"):
        evaluate(graph, [x[:1]])


def test_the_two_tables_of_pointwise_functions_agree() -> None:
    x = np.linspace(0.05, 3, 41)
    assert set(POINTWISE) == set(UNARY)
    for fn, function in POINTWISE.items():
        np.testing.assert_allclose(function(torch.from_numpy(x)).numpy(), apply_unary(fn, x), rtol=1e-6, err_msg=fn)


_ranges = st.lists(st.tuples(st.integers(0, 8), st.integers(1, 9)).filter(lambda r: r[0] < r[1]), min_size=1, max_size=6)
_regular = st.builds(
    lambda kernel, stride, before, out: tuple(
        (max(k * stride - before, 0), min(k * stride - before + kernel, 9)) for k in range(out)
    ),
    st.integers(1, 5), st.integers(1, 4), st.integers(0, 2), st.integers(1, 9),
).filter(lambda ranges: all(start < stop for start, stop in ranges))  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(rows=st.one_of(_ranges, _regular), columns=st.one_of(_ranges, _regular), data=st.data())
def test_pools_over_any_windows(rows: list, columns: list, data: st.DataObject) -> None:
    """Regular windows take torch's own pooling; the result is that of the definition either way."""
    rows, columns = tuple(rows), tuple(columns)
    x = torch.from_numpy(np.random.default_rng(data.draw(st.integers(0, 99))).normal(size=(2, 3, 9, 9)))
    divisors = tuple(range(1, len(rows) * len(columns) + 1))
    parts = [[x[:, :, y0:y1, x0:x1] for x0, x1 in columns] for y0, y1 in rows]
    largest = torch.stack([torch.stack([part.amax((2, 3)) for part in line], -1) for line in parts], -2)
    total = torch.stack([torch.stack([part.sum((2, 3)) for part in line], -1) for line in parts], -2)
    by = torch.tensor(divisors, dtype=torch.float64).reshape(len(rows), len(columns))
    torch.testing.assert_close(windows.max_pool(x, rows, columns), largest)
    torch.testing.assert_close(windows.avg_pool(x, rows, columns, divisors), total / by)
