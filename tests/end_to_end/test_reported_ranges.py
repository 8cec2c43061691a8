"""Reported elsewhere: ranges, scales, biases and sums that other quantizers get wrong."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lowbit
from tests.end_to_end.check import agrees, build
from tests.end_to_end.reported import Net, Table, alive, cosine, error, float_outputs, inputs_of

RANGES = Table()
Made = tuple[nn.Module, tuple[Tensor, ...]]


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@RANGES.add()
def bias_far_larger_than_the_accumulator() -> Made:
    """bias / (s_x s_w) leaves int32 where the weights of a channel are tiny."""
    model = alive(nn.Sequential(nn.Linear(12, 10), nn.ReLU(), nn.Linear(10, 6)), 1)
    with torch.no_grad():
        model[0].weight[::2] *= 1e-10
        model[0].bias[::2] = torch.tensor([6.0, -3.0, 2.0, 9.0, 0.5])
    return model, (normal(2, 12),)


@RANGES.add(widths=("1/int1",))
def tiny_weights_on_huge_values() -> Made:
    model = alive(nn.Sequential(nn.Conv1d(2, 6, 3), nn.ReLU(), nn.Conv1d(6, 6, 3), nn.ReLU(), nn.Conv1d(6, 3, 1)), 2)
    with torch.no_grad():
        model[0].weight *= 1e7
        model[0].bias *= 1e7
        model[2].weight *= 1e-7
    return model, (normal(1, 2, 25),)


@RANGES.add(error=2e-2, cosine=0.95)
def output_step_below_the_accumulators() -> Made:
    """A narrow clamp: the multiplier of the requantization is far above 1."""
    model = alive(
        Net(lambda net, x: net.b(net.a(x).clamp(-0.01, 0.015)), a=nn.Conv2d(3, 7, 3), b=nn.Conv2d(7, 3, 3, padding=1)), 3
    )
    with torch.no_grad():
        model.b.weight *= 80
    return model, (normal(1, 3, 11, 13),)


@RANGES.add(cosine=0.98)
def one_block_called_on_growing_values() -> Made:
    def forward(net: Net, x: Tensor) -> Tensor:
        for _ in range(3):
            x = net.act(net.norm(net.block(x))) * 4
        return net.head(torch.cat((x, net.pool(x), net.pool(net.pool(x))), 1))

    parts = {"block": nn.Conv2d(6, 6, 3, padding=1), "norm": nn.BatchNorm2d(6), "act": nn.ELU(), "pool": nn.MaxPool2d(3, 1, 1)}
    return alive(Net(forward, **parts, head=nn.Conv2d(18, 4, 1)), 4), (normal(1, 6, 9, 10),)


@RANGES.add(error=3e-2, cosine=0.9)
def batch_norm_that_multiplies_by_a_hundred() -> Made:
    """An identity branch through a batch norm, some channels of which have a tiny variance."""

    def forward(net: Net, x: Tensor) -> Tensor:
        x = F.relu(net.stem(x))
        return net.head(F.relu(net.conv(x) + net.norm(x)))

    model = alive(
        Net(
            forward, stem=nn.Conv2d(2, 6, 3), conv=nn.Conv2d(6, 6, 3, padding=1), norm=nn.BatchNorm2d(6), head=nn.Conv2d(6, 3, 1)
        ),
        5,
    )
    with torch.no_grad():
        model.stem.weight[1] *= 0.01
        model.stem.bias[1] = 0.01
        model.norm.running_mean[1], model.norm.running_var[1] = 0.01, 1e-4
    return model, (normal(1, 2, 12, 12),)


@RANGES.add(cosine=0.95)
def halves_of_one_tensor_with_two_ranges() -> Made:
    model = alive(
        Net(
            lambda net, x: net.head(torch.tanh(net.a(x)[:, 5:] * 0.04 - net.a(x)[:, :5])),
            a=nn.Conv2d(3, 10, 3),
            head=nn.Conv2d(5, 4, 1),
        ),
        6,
    )
    with torch.no_grad():
        model.a.weight[5:] *= 25
    return model, (normal(1, 3, 10, 12),)


@RANGES.add(error=2e-2, cosine=0.9)
def physical_units_far_from_zero() -> Made:
    """Offsets of 60 and 100 deviations, taken off by a batch norm that padding keeps from being folded."""
    model = alive(nn.Sequential(nn.BatchNorm2d(2), nn.Conv2d(2, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 2, 1)), 7)
    offset, size = torch.tensor([300.0, 1000.0]), torch.tensor([5.0, 10.0])
    with torch.no_grad():
        model[0].running_mean.copy_(offset)
        model[0].running_var.copy_(size**2)
    return model, (normal(1, 2, 15, 14) * size.reshape(1, 2, 1, 1) + offset.reshape(1, 2, 1, 1),)


@RANGES.add(widths=("1/int1",))
def values_that_are_never_positive() -> Made:
    model = alive(
        Net(
            lambda net, x: net.c(F.logsigmoid(net.b(-F.relu(net.a(x))))),
            a=nn.Conv1d(3, 6, 3),
            b=nn.Conv1d(6, 6, 3, padding=1),
            c=nn.Conv1d(6, 2, 5, padding=2),
        ),
        8,
    )
    return model, (normal(1, 3, 30),)


@RANGES.add(widths=("1/int1",))
def leaky_slopes_on_mostly_negative_values() -> Made:
    model = alive(
        nn.Sequential(
            nn.Conv2d(3, 8, 3),
            nn.LeakyReLU(0.2, True),
            nn.Conv2d(8, 8, 1),
            nn.PReLU(8),
            nn.Conv2d(8, 8, 1),
            nn.PReLU(),
            nn.Conv2d(8, 4, 1),
        ),
        9,
    )
    with torch.no_grad():
        model[0].bias -= 2
        model[2].bias -= 2
        model[3].weight.copy_(torch.linspace(-0.7, 1.7, 8))
    return model, (normal(1, 3, 12, 12),)


@RANGES.add(widths=("7/int7", "w8a16"))
def sum_longer_than_int32() -> Made:
    """70,000 products of inputs at their maximum with weights of one sign: 2.3e9 at 8 bits."""
    model = alive(Net(lambda net, x: net.fc(x.clamp(0, 1).flatten(1)), fc=nn.Linear(70_000, 3)), 10)
    with torch.no_grad():
        model.fc.weight.copy_((0.9 + 0.1 * torch.rand(model.fc.weight.shape, generator=torch.Generator().manual_seed(0))) / 512)
        model.fc.weight[1] *= -1
        model.fc.weight[2, 1::2] *= -1
    return model, (normal(1, 7, 100, 100).abs() + 0.9,)


@RANGES.add(widths=("6/int6", "2/int2"))
def raw_pixels() -> Made:
    """0..255 without normalisation through 3 x 3 convolutions whose sizes fit no tile of Winograd's."""
    model = alive(
        nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 5, 3)),
        11,
    )
    return model, (torch.randint(0, 256, (1, 3, 19, 23), generator=torch.Generator().manual_seed(1)).float(),)


@RANGES.add(cosine=0.98)
def one_hot_depthwise_channel_and_a_gate() -> Made:
    def forward(net: Net, x: Tensor) -> Tensor:
        y = F.silu(net.depthwise(F.silu(net.expand(x))))
        gate = torch.sigmoid(net.up(F.silu(net.down(y.mean((2, 3), keepdim=True)))))
        return x + net.project(y * gate)

    parts = {
        "expand": nn.Conv2d(6, 18, 1),
        "depthwise": nn.Conv2d(18, 18, 3, padding=1, groups=18),
        "project": nn.Conv2d(18, 6, 1),
    }
    model = alive(Net(forward, **parts, down=nn.Conv2d(18, 3, 1), up=nn.Conv2d(3, 18, 1)), 12)
    with torch.no_grad():
        model.depthwise.weight[4] *= 20
    return model, (normal(1, 6, 11, 11),)


@RANGES.add(error=2e-2, cosine=0.97)
def norm_written_out() -> Made:
    """Layer norm over channels and instance norm by hand, variances over two decades."""

    def forward(net: Net, x: Tensor) -> Tensor:
        y = net.a(x)
        y = y - y.mean(1, keepdim=True)
        y = y / torch.sqrt(y.pow(2).mean(1, keepdim=True) + 1e-6)
        z = net.b(F.gelu(y))
        z = z - z.mean((2, 3), keepdim=True)
        return net.c(F.relu(z / (z * z).mean((2, 3), keepdim=True).add(1e-5).sqrt() * net.gain))

    parts = {"a": nn.Conv2d(3, 8, 3), "b": nn.Conv2d(8, 8, 3, padding=1), "c": nn.Conv2d(8, 3, 1)}
    model = alive(Net(forward, **parts, gain=nn.Parameter(torch.linspace(0.5, 1.5, 8).reshape(1, 8, 1, 1))), 13)
    with torch.no_grad():
        model.b.weight *= torch.logspace(-0.5, 0.5, 8).reshape(8, 1, 1, 1)
    return model, (normal(1, 3, 14, 14),)


@pytest.mark.parametrize(("name", "width"), RANGES.cases())
def test_ranges(name: str, width: str) -> None:
    RANGES.check(name, width)


def test_parts_of_a_last_concat_keep_their_own_resolution() -> None:
    """Sizes up to 600 beside probabilities: with one 8-bit scale for both every probability would be 0."""
    model = alive(
        Net(
            lambda net, x: torch.cat((F.softplus(net.a(x)) * 150, net.b(x).softmax(1)), 1), a=nn.Linear(16, 2), b=nn.Linear(16, 6)
        ),
        14,
    )
    x = (normal(40, 16),)
    (want,) = float_outputs(model, x)
    for config, bound in (("8/int8", 0.1), ("16/int16", 2e-2)):
        (got,) = agrees(build(model, x, config=config, threads=1), *inputs_of(x))
        assert abs(got[:, 2:] - want[:, 2:]).max() < bound
        assert np.corrcoef(got[:, 2:].ravel(), want[:, 2:].ravel())[0, 1] > 0.95


def test_pairs_of_products_at_the_limit_of_int16() -> None:
    """255 * 127 * 2 saturates vpmaddubsw: the same integers on targets with and without it."""
    model = alive(
        nn.Sequential(nn.Conv2d(16, 8, 1), nn.ReLU(), nn.Conv2d(8, 12, 3, padding=1), nn.ReLU(), nn.Conv2d(12, 3, 1)), 15
    )
    with torch.no_grad():
        model[0].weight.fill_(0.25)
        model[0].weight[1::3] *= -1
        model[0].bias[1::3] = 5.0
        model[2].weight.copy_(model[2].weight.sign() * 0.1)
    x = ((torch.rand((1, 16, 9, 9), generator=torch.Generator().manual_seed(2)) > 0.2).float(),)
    results = [
        agrees(build(model, x, config="8/int8", target=target, threads=1), *inputs_of(x))[0]
        for target in ("x86-64", "x86-64-v3", "native")
    ]
    assert all(np.array_equal(result, results[0]) for result in results)
    assert error(results[0], float_outputs(model, x)[0]) < 2e-2


def test_float32_of_raw_pixels_is_as_good_as_float32_can_be() -> None:
    model, x = raw_pixels()
    (want,) = float_outputs(model.double(), (x[0].double(),))
    got = lowbit.compile(model.float(), x, threads=1)(*inputs_of(x))
    assert abs(got - want).max() < 1e-5 * abs(want).max()


def test_each_call_of_a_shared_layer_has_a_range_and_a_name_of_its_own() -> None:
    model, x = one_block_called_on_growing_values()
    graph = build(model, x, config="8/int8", threads=1).graph()
    scales = [float(graph.types[name].quant.scale) for name in ("act", "act_1", "act_2")]
    assert scales[0] < 0.6 * scales[1] < 0.36 * scales[2]
    assert len({node.name for node in graph.nodes if node.name.startswith("block")}) == 3


@pytest.mark.parametrize("observer", ["minmax", "mse", "percentile"])
def test_observers_decide_about_the_hot_channel(observer: str) -> None:
    model, x = one_hot_depthwise_channel_and_a_gate()
    network = build(model, x, weights="i8", observer=observer, percentile=99.0, threads=1)
    (got,) = agrees(network, *inputs_of(x))
    assert cosine(got, float_outputs(model, x)[0]) > 0.9
    widest = build(model, x, weights="i8", observer="minmax", threads=1).graph()
    kept = [
        float(network.graph().types[n].quant.scale) / float(t.quant.scale)
        for n, t in widest.types.items()
        if t.quant is not None and t.quant.scale.size == 1
    ]
    assert kept
    assert min(kept) == 1 if observer == "minmax" else min(kept) < 1
