"""Networks of fake quantizers equal their compiled form, whatever is asked of them."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import lowbit
from lowbit.errors import ConfigError, InputError
from lowbit.fake import FakeQuantized, QuantDescriptor
from lowbit.frontend import evaluate
from lowbit.graph import interpret
from lowbit.quantization import quantize_graph, random_samples
from lowbit.zoo import load_network
from tests.tiny import module

pytestmark = pytest.mark.filterwarnings("ignore::lowbit.errors.CalibrationWarning")

X = torch.randn((4, 3, 8, 8), generator=torch.Generator().manual_seed(2))


def fake(config: str = "w4a4", **options: object) -> FakeQuantized:
    return lowbit.fake_quantize(module(), X[:1], config=config, calibration=[X], **options)


@pytest.mark.parametrize("name", ["cifar_resnet8", "cifar_resnet20", "densenet_block", "lenet5", "mlp_jsc", "mlp_jsc_bn"])
@pytest.mark.parametrize("first_last", [8, None])
def test_every_width_equals_quantize_at_that_width_without_a_new_trace(name: str, first_last: int | None) -> None:
    torch.manual_seed(0)
    graph = lowbit.trace(*load_network(name, None))
    samples = random_samples(graph, 0, 3)
    calibration = lowbit.calibrate(graph, samples=samples[:2])
    x = samples[2]
    configs = {
        bits: lowbit.QuantizationConfig(weights(bits), acts(bits), first_last_bits=first_last) for bits in (8, 6, 4, 3, 2, 1, 16)
    }
    network = FakeQuantized(graph, calibration, configs[8]).eval()
    for bits, config in configs.items():
        wanted = quantize_graph(graph, calibration, config)
        for key, quantizer in network.quantizers.items():
            held = wanted.types.get(key if not key.endswith(".weight") else wanted.node(key[:-7]).inputs[1])
            at = held.quant if held is not None and held.quant is not None else wanted.types[f"{key}.quantize"].quant
            assert at is not None
            quantizer.descriptor = QuantDescriptor(at.qtype.bits, (not at.qtype.signed) or at.qtype.bits == 1)
        (expected,) = interpret(wanted, x)
        got = network(*map(torch.from_numpy, x))
        assert np.array_equal(expected, got.detach().numpy()), bits
        (again,) = interpret(network.integer_graph(), x)
        assert np.array_equal(expected, again)


def weights(bits: int) -> str:
    return "b1" if bits == 1 else f"i{bits}"


def acts(bits: int) -> str:
    return "i16" if bits == 16 else f"u{bits}"


def test_compiled_it_gives_the_same_integers_for_any_rows() -> None:
    network = fake("w3a5")
    compiled = lowbit.compile(network)
    with torch.no_grad():
        together = network(X).numpy()
        for row in range(len(X)):
            assert np.array_equal(compiled(X[row : row + 1].numpy()), network(X[row : row + 1]).numpy())
            assert np.array_equal(compiled(X[row : row + 1].numpy()), together[row : row + 1])


def test_training_mode_computes_the_same_and_reaches_every_parameter() -> None:
    network = fake("w2a3")
    expected = network(X)
    network.train()
    got = network(X)
    assert torch.equal(expected, got)
    got.square().sum().backward()
    assert [name for name, parameter in network.named_parameters() if parameter.grad is None] == []


def test_what_was_learned_is_what_is_compiled() -> None:
    network = fake("w3a4").train()
    optimizer = torch.optim.Adam(network.parameters(), 1e-4)
    before = network(X).detach()
    for _ in range(3):
        optimizer.zero_grad()
        network(X).square().sum().backward()
        optimizer.step()
    trained = network(X).detach()
    assert not torch.equal(before, trained)
    network.eval()
    compiled = lowbit.compile(network)
    for row in range(len(X)):
        assert np.array_equal(compiled(X[row : row + 1].numpy()), network(X[row : row + 1]).detach().numpy())
    learned = network.quantizer("body.weight").scale.detach().clone()
    network.quantizer("head.weight").bits = 5  # keeps what the others learned
    network(X)
    assert torch.equal(network.quantizer("body.weight").scale.detach(), learned)
    assert network.quantizer("head.weight").bits == 5


def test_disabled_it_is_the_float_network() -> None:
    network = fake()
    network.disable()
    assert torch.allclose(network(X[:1]), evaluate(network.graph, [X[:1]])[0], atol=1e-6)
    with pytest.raises(ConfigError, match="disabled quantizers: x, stem, body"):
        lowbit.compile(network)
    network.enable()
    assert not torch.equal(network(X[:1]), evaluate(network.graph, [X[:1]])[0])


def test_only_selected_modules_are_quantized() -> None:
    network = fake(select=lambda m: isinstance(m, nn.Linear))
    assert [name for name, q in network.quantizers.items() if q.enabled and name.endswith("weight")] == ["head.weight"]
    values: dict[str, torch.Tensor] = {}
    evaluate(network.graph, [X[:1]], lambda name, value: values.setdefault(name, value.clone()))
    read = network.quantizer("head.input")
    assert read.enabled
    node = network.graph.node("head")
    w = network.quantizer("head.weight")(torch.from_numpy(network.graph.constants[node.inputs[1]]))
    got = network(X[:1])
    bias = got - read(values[node.inputs[0]].clone()) @ w.T
    assert torch.allclose(bias, network.head.bias.float(), atol=1e-5)
    with pytest.raises(ConfigError, match="nothing is selected"):
        fake(select=lambda m: isinstance(m, nn.LSTM))


def test_weights_alone_can_be_rounded() -> None:
    network = fake("w2a8")
    network.disable(lambda q: not q.weights)
    values = {
        name: q(torch.from_numpy(network.graph.constants[network.graph.node(name[:-7]).inputs[1]]))
        for name, q in network.quantizers.items()
        if q.weights
    }
    model = module()
    with torch.no_grad():
        for name, value in values.items():
            model.get_submodule(name[:-7]).weight.copy_(value)
    shift = (network(X) - model(X)).detach()
    assert torch.allclose(shift, shift[:1].expand_as(shift), atol=1e-5)  # but for the biases that take up the mean error


def test_quantizers_are_modules_reachable_by_name() -> None:
    network = fake()
    names = dict(network.named_modules())
    assert names["body.weight_quantizer"] is network.quantizer("body.weight")
    assert network.body.input_quantizer is network.quantizer("body.input") is network.quantizer("stem")
    assert network.quantizer("x").enabled
    with pytest.raises(ConfigError, match=r"no quantizer 'nothing'; known: x, stem"):
        network.quantizer("nothing")


def test_amax_and_fixed_point_dictate_the_scale() -> None:
    network = fake("w8a8")
    network.quantizer("stem").descriptor = QuantDescriptor.mase(8, 4)
    network.quantizer("body.weight").amax = 0.5
    network(X)
    assert float(network.quantizer("stem").params.scale) == 2.0**-4
    assert str(network.quantizer("stem").params.qtype) == "i8"
    assert np.allclose(network.quantizer("body.weight").amax, 0.5)
    compiled = lowbit.compile(network)
    assert np.array_equal(compiled(X[:1].numpy()), network(X[:1]).detach().numpy())
    network.quantizer("body.weight").amax = [1.0, 2.0]
    with pytest.raises(ConfigError, match="2 numbers for amax; it has 16 scales"):
        network(X)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"bits": 9}, "9 bits; widths are 1, 2"),
        ({"axis": 1}, "per tensor"),
        ({"amax": -1.0}, "positive"),
        ({"amax": 1.0, "frac_width": 2}, "give one"),
    ],
)
def test_impossible_descriptors_are_refused(given: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        QuantDescriptor(**given)  # type: ignore[arg-type]


def test_calibrating_again_moves_the_ranges() -> None:
    network = fake("w8a8")
    narrow = float(network.quantizer("x").params.scale)
    network.calibrate([X * 10])
    assert float(network.quantizer("x").params.scale) == pytest.approx(10 * narrow, rel=1e-3)
    assert np.array_equal(lowbit.compile(network)(X[:1].numpy()), network(X[:1]).detach().numpy())


def test_state_and_copies_carry_what_was_learned() -> None:
    network = fake("w4a4")
    with torch.no_grad():
        network.body.weight.mul_(1.3)
        network.quantizer("stem").scale.mul_(0.9)
    again = fake("w4a4")
    again.load_state_dict(network.state_dict())
    assert torch.equal(again(X), network(X))
    assert torch.equal(copy.deepcopy(network)(X), network(X))


def test_wrong_inputs_are_refused() -> None:
    with pytest.raises(InputError, match=r"shape \(1, 3, 9, 9\), must be \(1, 3, 8, 8\)"):
        fake()(torch.zeros(1, 3, 9, 9))
    with pytest.raises(ConfigError, match="needs a precision"):
        lowbit.fake_quantize(module(), X[:1])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_computes_the_same_integers() -> None:
    network = fake("w4a4")
    expected = network(X)
    assert torch.equal(network.cuda()(X.cuda()).cpu(), expected)


def test_it_starts_from_a_plan() -> None:
    calibration = lowbit.calibrate(module(), X[:1], [torch.cat([X] * 12)])
    plan = lowbit.quantize(module(), X[:1], calibration=calibration, config="w2a4", method=lowbit.AdaRound(iterations=20))
    network = lowbit.fake_quantize(module(), X[:1], calibration=calibration, plan=plan)
    (expected,) = interpret(plan.integer_graph(), [X[:1].numpy()])
    assert np.array_equal(expected, network(X[:1]).detach().numpy())
    assert np.array_equal(expected, network.train()(X[:1]).detach().numpy())
    with pytest.raises(ConfigError, match="either a plan or a precision"):
        lowbit.fake_quantize(module(), X[:1], calibration=calibration, plan=plan, config="w2a4")


def test_outputs_hang_together_as_the_networks_do() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(6, 3)

        def forward(self, x: Tensor) -> dict[str, Any]:
            y = self.head(x)
            return {"logits": y, "loss": None, "hidden": [y.relu(), x * 2]}

    torch.manual_seed(0)
    net, x = Named().eval(), torch.randn(4, 6)
    network = lowbit.fake_quantize(net, x, calibration=[x], config="8/int8", method="nearest")
    made, compiled = network(x), lowbit.compile(network)(x)
    assert list(made) == ["logits", "loss", "hidden"]
    assert made["loss"] is None
    assert torch.equal(made["logits"], torch.as_tensor(np.asarray(compiled["logits"])))
    assert torch.equal(made["hidden"][1], torch.as_tensor(np.asarray(compiled["hidden"][1])))
    report = lowbit.finetune(network, [(x, torch.tensor([0, 1, 2, 0]))], epochs=2, progress=False)
    assert len(report.losses) == 2
    dataset = lowbit.data.Dataset(lowbit.data.from_arrays(x.numpy(), np.array([0, 1, 2, 0]), "four"))
    assert lowbit.evaluate(net, dataset, progress=False).count == 4
