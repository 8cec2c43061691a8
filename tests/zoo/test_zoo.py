"""The networks: they build, live, export, and stay the same for the same seed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lowbit import zoo
from lowbit.errors import ConfigError
from lowbit.frontend import evaluate, import_model
from lowbit.graph.verify import verify
from lowbit.passes import canonicalize
from tests.share import ALL

PARAMETERS = {
    "cifar_resnet8": 77_706, "cifar_resnet20": 269_722, "cifar_resnet32": 464_154, "cifar_resnet56": 853_018,
    "densenet121": 7_978_856, "lenet5": 61_706, "mlp_jsc": 4_389, "mobilenet_v1": 4_231_976, "mobilenet_v2": 3_504_872,
    "resnet18": 11_689_512, "resnet34": 21_797_672, "resnet50": 25_557_032, "squeezenet1_0": 1_248_424,
    "squeezenet1_1": 1_235_496, "vgg11": 132_863_336, "vgg11_bn": 132_868_840,
}  # fmt: skip
LARGE = {"densenet121", "mobilenet_v1", "mobilenet_v2", "resnet18", "resnet34", "resnet50", "vgg11", "vgg11_bn"}
HEAVY = set() if ALL else {"vgg11", "vgg11_bn"}  # 130 million weights
NAMES = [
    pytest.param(name, marks=pytest.mark.slow if name in LARGE - {"resnet18"} else ())
    for name in zoo.NETWORKS
    if name not in HEAVY
]


@pytest.mark.parametrize("name", NAMES)
def test_networks_import_and_compute_the_same(name: str) -> None:
    """Batch 2; exact before the passes, after them up to the float32 rounding of folded weights."""
    model, inputs = zoo.build(name), zoo.example_inputs(name, batch=2)
    assert not any(module.training for module in model.modules())
    assert inputs[0].shape[1:] == zoo.NETWORKS[name].input_shape[1:]
    if name in PARAMETERS:
        assert sum(parameter.numel() for parameter in model.parameters()) == PARAMETERS[name]
    graph = import_model(model, inputs, name)
    verify(graph)
    canonical = canonicalize(graph, lambda step, after: verify(after))
    with torch.no_grad():
        expected = model.double()(inputs[0].double())
    _alive(expected)
    for graph_, tolerance in ((graph, 1e-9), (canonical, 5e-5)):
        (got,) = evaluate(graph_, list(inputs), dtype=torch.float64)
        assert float((got - expected).abs().max()) <= tolerance * float(expected.abs().max())


def _alive(outputs: torch.Tensor) -> None:
    """Finite, of a sensible size, and different for the two samples."""
    assert bool(torch.isfinite(outputs).all())
    assert 0.02 < float(outputs.std()) < 50
    assert float((outputs[0] - outputs[1]).std()) > 0.1 * float(outputs.std())


@pytest.mark.parametrize("name", ["cifar_resnet20", "densenet_block", "lenet5", "mlp_jsc_bn"])
def test_no_layer_is_dead(name: str) -> None:
    graph = canonicalize(import_model(zoo.build(name), zoo.example_inputs(name, 4)))
    spread: dict[str, float] = {}
    evaluate(graph, list(zoo.example_inputs(name, 4)), lambda node, value: spread.__setitem__(node, float(value.std())))
    assert min(spread.values()) > 0.02
    assert max(spread.values()) < 50


def test_seeds() -> None:
    first, again, other = (zoo.build("cifar_resnet8", seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(value, again[key]) for key, value in first.items())
    assert not torch.equal(first["s1a.weight"], other["s1a.weight"])
    (x,), (same,), (y,) = (zoo.example_inputs("cifar_resnet8", 2, seed) for seed in (0, 0, 1))
    assert torch.equal(x, same)
    assert not torch.equal(x, y)


def test_building_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    zoo.build("lenet5")
    zoo.example_inputs("lenet5")
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("call", [zoo.build, zoo.example_inputs, zoo.load_model])
def test_unknown_names_list_the_known_ones(call: object) -> None:
    with pytest.raises(ConfigError, match=r"no network 'resnet5'; did you mean resnet50\? Known: cifar_.*module:factory"):
        call("resnet5")
    with pytest.raises(ConfigError, match=r"no network 'xyzzy'; known: cifar_resnet8"):
        call("xyzzy")


USER = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 2)
    def forward(self, x):
        return self.layer(x)

def make():
    return Net()

def sized(width):
    return Net()

ready = Net()
number = 3

def wrong():
    return 3
"""


@pytest.fixture
def user_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "user_net.py").write_text(USER)
    (tmp_path / "broken_net.py").write_text("import a_module_that_is_not_there\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return "user_net"


@pytest.mark.parametrize("attribute", ["Net", "make", "ready"])
def test_own_networks(user_module: str, attribute: str) -> None:
    model = zoo.load_model(f"{user_module}:{attribute}")
    assert model(torch.zeros(1, 3)).shape == (1, 2)
    assert not model.training


def test_networks_of_the_table_by_name() -> None:
    assert isinstance(zoo.load_model("mlp_jsc"), torch.nn.Module)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("missing_net:make", "module 'missing_net' cannot be imported from"),
        ("broken_net:make", "a_module_that_is_not_there"),
        (":make", "cannot be imported"),
        ("user_net:nothing", "user_net has no 'nothing'; it has .*make"),
        ("user_net:number", "is a int; it must be an nn.Module, or return one"),
        ("user_net:sized", "cannot be called without arguments"),
        ("user_net:wrong", "returned a int; it must return an nn.Module"),
    ],
)
def test_own_networks_refusals(user_module: str, spec: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        zoo.load_model(spec)
