"""``torch.compile(model, backend="lowbit")``."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import lowbit
from lowbit.errors import CalibrationWarning, ConfigError

ROWS = torch.rand((8, 3, 8, 8), generator=torch.Generator().manual_seed(1))


@pytest.fixture(autouse=True)
def _forget() -> None:
    torch.compiler.reset()


class _Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.norm = nn.BatchNorm2d(16)
        self.body = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(inplace=True))
        self.head = nn.Linear(16, 10)
        self.register_buffer("factor", torch.tensor(0.5))

    def features(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.stem(x)))
        return torch.relu(self.body(x) + x) * self.factor

    def forward(self, x: Tensor) -> Any:
        return self.head(self.features(x).mean((2, 3)))


class _Broken(_Net):
    """With an operation in the middle that lowbit does not have."""

    def forward(self, x: Tensor) -> dict[str, Any]:
        y = torch.cumprod(self.features(x), 1) / 16
        return {"logits": self.head(y.mean((2, 3))), "features": y, "rows": x.shape[0], "none": None, "same": x}


def _model(kind: type[nn.Module] = _Net) -> nn.Module:
    torch.manual_seed(0)
    return kind().eval()


def _error(got: Tensor, wanted: Tensor) -> float:
    return float((got - wanted).norm() / wanted.norm())


@torch.no_grad()
def test_equals_what_lowbit_compiles_of_the_module() -> None:
    model = _model()
    fast = torch.compile(model, backend="lowbit", options={"config": "8/int8", "calibration": [ROWS], "method": "nearest"})
    mine = lowbit.compile(model, ROWS[:2], config="8/int8", calibration=[ROWS], method="nearest")
    assert torch.equal(fast(ROWS[:2]), mine(ROWS[:2]))


@torch.no_grad()
def test_layers_have_the_names_of_the_users_modules() -> None:
    model = _model()
    options = {"config": "8/int8", "calibration": [ROWS], "method": "nearest"}
    plain = torch.compile(model, backend="lowbit", options=options)(ROWS)
    torch.compiler.reset()
    options = {"weights": "i8", "activations": "u8", "layers": {"body.0": "i2/u8"}, "calibration": [ROWS], "method": "nearest"}
    narrow = torch.compile(model, backend="lowbit", options=options)(ROWS)
    assert 0.005 < _error(narrow, plain) < 0.6  # other integers in this layer alone
    torch.compiler.reset()
    with pytest.raises(ConfigError, match="bodyy"):
        torch.compile(model, backend="lowbit", options={**options, "layers": {"bodyy.*": "i2/u8"}})(ROWS)


@torch.no_grad()
def test_what_lowbit_lacks_stays_in_torch(capsys: pytest.CaptureFixture[str]) -> None:
    model = _model(_Broken)
    got = torch.compile(model, backend="lowbit", options={"config": "8/int8", "calibration": [ROWS]})(ROWS)
    said = capsys.readouterr().err
    assert said.count("stay in torch") == 1
    assert "cumprod" in said
    assert "test_backend.py" in said
    wanted = model(ROWS)
    assert (got["rows"], got["none"]) == (8, None)
    assert torch.equal(got["same"], ROWS)
    assert 0 < _error(got["features"], wanted["features"]) < 0.02
    assert 0 < _error(got["logits"], wanted["logits"]) < 0.05


@torch.no_grad()
def test_float_parts_beside_torch_parts() -> None:
    model = _model(_Broken)
    got, wanted = torch.compile(model, backend="lowbit")(ROWS), model(ROWS)
    torch.testing.assert_close(got["logits"], wanted["logits"], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_graph_breaks_are_calibrated_by_the_first_call() -> None:
    class Breaks(_Net):
        def forward(self, x: Tensor) -> Tensor:
            y = self.features(x)
            torch._dynamo.graph_break()
            return self.head(y.mean((2, 3)))

    model = _model(Breaks)
    fast = torch.compile(model, backend="lowbit", options={"config": "8/int8", "calibration": [ROWS]})
    with pytest.warns(CalibrationWarning, match="do not fit"):
        got = fast(ROWS)
    assert 0 < _error(got, model(ROWS)) < 0.05


@torch.no_grad()
def test_other_shapes_compile_again_up_to_a_limit(capsys: pytest.CaptureFixture[str]) -> None:
    model = _model()
    options = {"config": "8/int8", "calibration": [ROWS], "method": "nearest", "limit": 2}
    fast = torch.compile(model, backend="lowbit", options=options, dynamic=True)
    integers = [fast(ROWS[:rows]) for rows in (3, 5, 7)]  # Dynamo makes one graph for 3 rows and one for any other number
    for more in integers[1:]:
        assert torch.equal(integers[0], more[:3])
    assert not torch.allclose(integers[2], model(ROWS[:7]), atol=1e-6)
    assert "the limit" not in capsys.readouterr().err
    assert torch.allclose(fast(ROWS[:8]), model(ROWS[:8]), atol=1e-6)
    assert "the limit" in capsys.readouterr().err
    assert torch.equal(fast(ROWS[:5]), integers[1])


@torch.no_grad()
def test_other_weights_compile_again() -> None:
    model = _model()
    fast = torch.compile(model, backend="lowbit", options={"config": "8/int8", "calibration": [ROWS]})
    before = fast(ROWS)
    model.head.bias.add_(1.0)  # type: ignore[union-attr, operator]
    after = fast(ROWS)
    assert _error(after, model(ROWS)) < 0.05
    assert _error(after, before) > 0.3


@torch.no_grad()
def test_first_calls_calibrate_where_no_samples_are_given() -> None:
    model = _model()
    fast = torch.compile(model, backend="lowbit", options={"config": "8/int8", "observe": 3, "method": "nearest"})
    for i in range(2):
        assert torch.allclose(fast(ROWS[i : i + 2]), model(ROWS[i : i + 2]), atol=1e-6)  # in torch
    mine = lowbit.compile(model, ROWS[:2], config="8/int8", calibration=[ROWS[0:2], ROWS[1:3], ROWS[2:4]], method="nearest")
    assert torch.equal(fast(ROWS[2:4]), mine(ROWS[2:4]))
    assert torch.equal(fast(ROWS[4:6]), mine(ROWS[4:6]))


@torch.no_grad()
def test_a_calibration_gives_the_samples_it_kept() -> None:
    model = _model()
    seen = lowbit.calibrate(model, ROWS[:1], [ROWS])
    fast = torch.compile(model, backend="lowbit", options={"config": "8/int8", "calibration": seen, "method": "nearest"})
    mine = lowbit.compile(model, ROWS[:4], config="8/int8", calibration=seen, method="nearest")
    assert torch.equal(fast(ROWS[:4]), mine(ROWS[:4]))


@torch.no_grad()
def test_inputs_that_the_model_changes_are_changed() -> None:
    class Writes(_Net):
        def forward(self, x: Tensor) -> Tensor:
            y = self.head(self.features(x).mean((2, 3)))
            x.mul_(2.0)
            return y

    model, given, wanted = _model(Writes), ROWS.clone(), ROWS.clone()
    got = torch.compile(model, backend="lowbit", options={"config": "8/int8", "calibration": [ROWS]})(given)
    assert _error(got, model(wanted)) < 0.05
    assert torch.equal(given, wanted)


@torch.no_grad()
def test_nothing_worth_compiling_stays_in_torch(capsys: pytest.CaptureFixture[str]) -> None:
    def function(x: Tensor) -> Tensor:
        return torch.relu(x) * 2

    fast = torch.compile(function, backend="lowbit", options={"config": "8/int8"})
    assert torch.equal(fast(ROWS), function(ROWS))
    assert "no convolution or linear layer" in capsys.readouterr().err


@torch.no_grad()
def test_two_networks_with_one_backend_and_many_calls() -> None:
    one, two = _model(), _model(_Broken)
    fast = [torch.compile(m, backend="lowbit", options={"config": "8/int8", "calibration": [ROWS]}) for m in (one, two)]
    first = fast[0](ROWS), fast[1](ROWS)["logits"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(3):
            assert torch.equal(fast[0](ROWS), first[0])
            assert torch.equal(fast[1](ROWS)["logits"], first[1])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"bits": 8}, "no option 'bits'; its options are config"),
        ({"config": "9/int9"}, "9/int9"),
        ({"config": "8/int8", "observe": 0}, "observe is a whole number from 1 on"),
        ({"limit": -1}, "limit is a whole number from 0 on"),
        ({"config": "8/int8", "calibration": "images"}, "iterable of samples"),
    ],
)
def test_wrong_options(options: dict[str, Any], said: str) -> None:
    with pytest.raises(Exception, match=said):
        torch.compile(_model(), backend="lowbit", options=options)(ROWS)


def test_modes_are_of_other_backends() -> None:
    with pytest.raises(Exception, match="no modes"):
        torch.compile(_model(), backend="lowbit", mode="reduce-overhead")(ROWS)


def test_training_mode_stays_in_torch(capsys: pytest.CaptureFixture[str]) -> None:
    model = _model().train()
    fast = torch.compile(model, backend="lowbit", options={"config": "8/int8", "calibration": [ROWS]})
    assert np.isfinite(fast(ROWS).detach().numpy()).all()
    assert "batch_norm" in capsys.readouterr().err
