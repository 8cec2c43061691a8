"""Reported elsewhere: paddings, pools, shapes, groups, branches and detection heads that other compilers get wrong."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.end_to_end.check import agrees, build
from tests.end_to_end.reported import Net, Table, alive, cosine, error, float_outputs, inputs_of

STRUCTURE = Table()
Made = tuple[nn.Module, tuple[Tensor, ...]]


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@STRUCTURE.add(widths=("1/int1",))
def batch_norm_that_can_move_nowhere() -> Made:
    """Behind a ReLU and a maximum, with negative weights, in front of a padded convolution."""
    layers = (nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2, 2, ceil_mode=True), nn.BatchNorm2d(6))
    model = alive(
        nn.Sequential(*layers, nn.Conv2d(6, 6, 5, padding=2), nn.ReLU(), nn.BatchNorm2d(6), nn.Conv2d(6, 3, 3, padding=1)), 1
    )
    with torch.no_grad():
        model[3].weight[1::2] *= -1.5
        model[6].weight[::2] *= -1
    return model, (normal(1, 3, 13, 17),)


@STRUCTURE.add()
def average_pools_that_hang_over_the_edge() -> Made:
    def forward(net: Net, x: Tensor) -> tuple[Tensor, ...]:
        y = net.conv(x)
        return (
            F.avg_pool2d(y, 4, 3, 2, ceil_mode=True),
            F.avg_pool2d(y, (2, 5), (2, 3), (1, 2), ceil_mode=True, count_include_pad=False),
            F.avg_pool1d(y.flatten(2), 7, 4, 3, ceil_mode=True),
            F.avg_pool2d(y, 3, 2, 1, divisor_override=5),
        )

    return alive(Net(forward, conv=nn.Conv2d(3, 4, 3)), 2), (normal(1, 3, 19, 24),)


@STRUCTURE.add()
def uneven_paddings_on_every_zero_point() -> Made:
    def forward(net: Net, x: Tensor) -> Tensor:
        x = F.elu(net.a(F.pad(x, (0, 1, 0, 1))))
        x = torch.tanh(net.b(F.pad(x, (2, 0, 1, 3))))
        x = torch.sigmoid(net.c(x))
        return net.d(x)

    parts = {"a": nn.Conv2d(3, 6, 3, stride=2), "b": nn.Conv2d(6, 6, 3, padding="same", dilation=(1, 2))}
    return alive(Net(forward, **parts, c=nn.Conv2d(6, 6, (1, 5), padding=(0, 2)), d=nn.Conv2d(6, 4, 3, padding=(0, 2))), 3), (
        normal(1, 3, 14, 16),
    )


@STRUCTURE.add()
def depth_to_space_by_hand() -> Made:
    def forward(net: Net, x: Tensor) -> Tensor:
        y = net.b(F.relu(net.a(x))) + torch.stack([x] * 4, 2).flatten(1, 2)
        n, _, h, w = y.shape
        return y.view(n, 2, 2, 2, h, w).permute(0, 1, 4, 2, 5, 3).reshape(n, 2, 2 * h, 2 * w).clamp(0, 200)

    model = alive(Net(forward, a=nn.Conv2d(2, 8, 3, padding=1), b=nn.Conv2d(8, 8, 3, padding=1)), 4)
    return model, (normal(2, 2, 9, 7).abs() * 80,)


@STRUCTURE.add(widths=("3/int3", "2/int2", "1/int1"))
def groups_of_every_kind() -> Made:
    layers = (nn.Conv2d(4, 6, 1, groups=2), nn.Conv2d(6, 18, 3, padding=1, groups=6), nn.ReLU())
    more = (nn.Conv2d(18, 15, 3, padding=2, dilation=2, groups=3), nn.ReLU(), nn.Conv2d(15, 30, (3, 1), groups=15), nn.ReLU())
    return alive(nn.Sequential(*layers, *more, nn.AdaptiveAvgPool2d((1, 3)), nn.Flatten(), nn.Linear(90, 5)), 5), (
        normal(1, 4, 9, 11),
    )


class Causal(nn.Module):
    def __init__(self, i: int, o: int, dilation: int, cut: bool) -> None:
        super().__init__()
        self.pad, self.cut = 2 * dilation, cut
        self.conv = nn.Conv1d(i, o, 3, padding=self.pad if cut else 0, dilation=dilation)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)[..., : -self.pad] if self.cut else self.conv(F.pad(x, (self.pad, 0)))
        return F.relu(y) + x if y.shape == x.shape else F.relu(y)


@STRUCTURE.add()
def causal_dilated_convolutions() -> Made:
    return alive(nn.Sequential(Causal(5, 8, 1, False), Causal(8, 8, 3, True), Causal(8, 8, 5, False)), 6), (normal(1, 5, 40),)


@STRUCTURE.add()
def halves_shuffled_between_blocks() -> Made:
    """ShuffleNetV2 in channels_last, on a view with strides."""

    def forward(net: Net, x: Tensor) -> Tensor:
        for block in net.blocks:
            kept, worked = x.chunk(2, 1)
            x = torch.cat((kept, block(worked)), 1)
            n, c, h, w = x.shape
            x = x.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().view(n, c, h, w)
        return net.head(x)

    blocks = nn.ModuleList(
        nn.Sequential(nn.Conv2d(6, 6, 3, padding=1, groups=6), nn.BatchNorm2d(6), nn.Conv2d(6, 6, 1), nn.ReLU()) for _ in range(2)
    )
    model = alive(Net(forward, blocks=blocks, head=nn.Conv2d(12, 5, 1)), 7)
    return model.to(memory_format=torch.channels_last), (normal(2, 12, 20, 9)[:, :, ::2],)


@STRUCTURE.add()
def parts_that_nobody_reads() -> Made:
    def forward(net: Net, x: Tensor) -> Tensor:
        y = net.stem(x)
        y = torch.cat((y, net.cheap(y)), 1)[:, 1:12]
        a, _, b = torch.split(F.relu(y), [4, 3, 4], 1)
        return net.head(torch.cat((b, b * 0.3, a), 1))

    parts = {"stem": nn.Conv2d(3, 4, 1), "cheap": nn.Conv2d(4, 8, 3, padding=1, groups=4), "head": nn.Conv2d(12, 3, 3)}
    return alive(Net(forward, **parts), 8), (normal(1, 3, 8, 9),)


@STRUCTURE.add()
def decoder_of_an_odd_size() -> Made:
    def forward(net: Net, x: Tensor) -> Tensor:
        skip = F.relu(net.down(x))
        up = F.pixel_shuffle(net.up(F.max_pool2d(skip, 2)), 2)
        dy, dx = skip.shape[2] - up.shape[2], skip.shape[3] - up.shape[3]
        return net.head(torch.cat((F.pad(up, [0, dx, dy, 0]), skip), 1)).sigmoid()

    return alive(Net(forward, down=nn.Conv2d(3, 6, 3), up=nn.Conv2d(6, 24, 1), head=nn.Conv2d(12, 2, 3, padding=1)), 9), (
        normal(1, 3, 15, 19),
    )


@STRUCTURE.add()
def hard_swish_and_gate_in_pieces() -> Made:
    def gate(x: Tensor) -> Tensor:
        return (x + 3).clamp(0, 6) / 6

    def forward(net: Net, x: Tensor) -> Tensor:
        x = net.a(x)
        y = net.b(x * gate(x))
        return net.c(y * gate(net.up(F.relu(net.down(y.mean((2, 3), keepdim=True))))))

    parts = {"a": nn.Conv2d(3, 8, 3), "b": nn.Conv2d(8, 12, 1), "c": nn.Conv2d(12, 4, 1)}
    return alive(Net(forward, **parts, down=nn.Conv2d(12, 4, 1), up=nn.Conv2d(4, 12, 1)), 10), (normal(1, 3, 12, 10),)


@STRUCTURE.add()
def attention_from_largest_values() -> Made:
    """torch.max along an axis also gives indices; only the values are read."""

    def forward(net: Net, x: Tensor) -> Tensor:
        x = F.relu(net.stem(x))
        largest, _ = torch.max(x, 1, keepdim=True)
        return net.head(x * net.spatial(torch.cat((largest, x.mean(1, keepdim=True)), 1)).sigmoid())

    return alive(Net(forward, stem=nn.Conv2d(3, 8, 3), spatial=nn.Conv2d(2, 1, 5, padding=2), head=nn.Conv2d(8, 3, 1)), 11), (
        normal(1, 3, 12, 12),
    )


@STRUCTURE.add(cosine=0.98, widths=("w4a8",))
def boxes_from_bins_and_exponentials() -> Made:
    """Distances as the mean of a distribution over 8 bins, sizes as exponentials, anchors added."""

    def forward(net: Net, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        f = F.silu(net.stem(x))
        bins = net.box(f).flatten(2).view(1, 4, 8, 30).transpose(1, 2).softmax(1)
        low, high = net.bins(bins).view(1, 4, 30).chunk(2, 1)
        near, far = net.anchors - low, net.anchors + high
        return (
            torch.cat(((near + far) / 2, far - near), 1) * 8,
            net.size(f).flatten(2).exp() * 8,
            net.score(f).flatten(2).sigmoid(),
        )

    parts = {"stem": nn.Conv2d(3, 8, 3, 2), "box": nn.Conv2d(8, 32, 1), "bins": nn.Conv2d(8, 1, 1, bias=False)}
    anchors = torch.stack(torch.meshgrid(torch.arange(6) + 0.5, torch.arange(5) + 0.5, indexing="xy")).reshape(2, 30)
    model = alive(Net(forward, **parts, size=nn.Conv2d(8, 2, 1), score=nn.Conv2d(8, 3, 1), anchors=anchors), 12)
    with torch.no_grad():
        model.bins.weight.copy_(torch.arange(8.0).reshape(1, 8, 1, 1))
    return model, (normal(1, 3, 11, 13),)


@STRUCTURE.add()
def picture_and_measurements() -> Made:
    def forward(net: Net, image: Tensor, numbers: Tensor) -> Tensor:
        return net.head(torch.cat((F.relu(net.picture(image)).mean((2, 3)), F.relu(net.table(numbers / 500))), 1))

    model = alive(Net(forward, picture=nn.Conv2d(3, 6, 3), table=nn.Linear(5, 6), head=nn.Linear(12, 3)), 13)
    return model, (normal(2, 3, 8, 8), normal(2, 5).abs() * 600)


@STRUCTURE.add()
def coordinates_and_a_class_token() -> Made:
    """Constants of many values joined to activations: coordinates of every pixel (CoordConv), a token in front of the others."""

    def forward(net: Net, x: Tensor) -> Tensor:
        n, _, h, w = x.shape
        grid = torch.stack(torch.meshgrid(torch.linspace(-1, 1, h), torch.linspace(-1, 1, w), indexing="ij"))
        y = F.relu(net.stem(torch.cat((x, grid.expand(n, 2, h, w)), 1))).flatten(2).transpose(1, 2)
        return net.head(torch.cat((net.token.expand(n, 1, 8), y), 1)).mean(1)

    model = alive(Net(forward, stem=nn.Conv2d(5, 8, 3, 2), head=nn.Linear(8, 3), token=normal(1, 1, 8)), 14)
    return model, (normal(2, 3, 9, 8),)


@pytest.mark.parametrize(("name", "width"), STRUCTURE.cases())
def test_structure(name: str, width: str) -> None:
    STRUCTURE.check(name, width)


@pytest.mark.parametrize(
    "name", ["uneven_paddings_on_every_zero_point", "average_pools_that_hang_over_the_edge", "decoder_of_an_odd_size"]
)
def test_borders_are_as_good_as_the_inside(name: str) -> None:
    model, x = STRUCTURE[name].make()
    for got, want in zip(
        agrees(build(model, x, config="16/int16", threads=1), *inputs_of(x)), float_outputs(model, x), strict=True
    ):
        for axis in range(2, got.ndim):
            for edge in (0, -1):
                assert error(got.take(edge, axis), want.take(edge, axis)) < 1e-2


@pytest.mark.parametrize("config", ["fp32", "8/int8"])
def test_the_future_does_not_reach_back(config: str) -> None:
    model, (x,) = causal_dilated_convolutions()
    network = build(model, (x,), config=config, threads=1)
    changed = x.clone()
    changed[..., 25:] = 9.0
    before, after = (np.asarray(network(value.numpy())) for value in (x, changed))
    np.testing.assert_array_equal(before[..., :25], after[..., :25])
    assert not np.array_equal(before, after)


def test_memory_formats_and_frameworks_of_an_input_change_nothing() -> None:
    model, (x,) = halves_shuffled_between_blocks()
    samples = [normal(5, 12, 10, 9, seed=1), normal(3, 12, 10, 9, seed=2).to(memory_format=torch.channels_last)]
    network = build(model, x, config="8/int8", calibration=samples, threads=1)
    (wanted,) = agrees(network, np.ascontiguousarray(x.numpy()))
    for same in (x, x.contiguous(), x.to(memory_format=torch.channels_last), x.numpy(), np.asfortranarray(x.numpy())):
        np.testing.assert_array_equal(np.asarray(network(same)), wanted)


@pytest.mark.parametrize("config", ["8/int8", "4/int4", "1/int1"])
def test_rows_of_a_batch_are_the_single_results(config: str) -> None:
    """Same ranges and same integers, whatever batch the network was compiled and calibrated for."""
    layers = (nn.Conv2d(3, 10, 3, 2), nn.ReLU(), nn.Conv2d(10, 10, 3, groups=10), nn.BatchNorm2d(10), nn.Hardswish())
    model = alive(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(10, 6), nn.Softmax(1)), 14)
    samples = [normal(1, 3, 15, 15, seed=k) for k in range(5)]
    x = normal(3, 3, 15, 15, seed=9).numpy()
    three, one = (build(model, torch.zeros(batch, 3, 15, 15), config=config, calibration=samples, threads=1) for batch in (3, 1))
    (together,) = agrees(three, x)
    np.testing.assert_array_equal(together, np.concatenate([agrees(one, row[None])[0] for row in x]))


def test_no_code_for_a_part_that_nobody_reads() -> None:
    model, x = parts_that_nobody_reads()
    graph = build(model, x, config="8/int8", threads=1).graph()
    assert sum(node.op == "slice" for node in graph.nodes) <= 3


def test_more_bits_for_the_layer_of_the_bins_help() -> None:
    model, x = boxes_from_bins_and_exponentials()
    wanted = float_outputs(model, x)[0]
    coarse, fine = (
        error(agrees(build(model, x, weights="i3", activations="u8", layers=layers, threads=1), *inputs_of(x))[0], wanted)
        for layers in ({}, {"bins": "i8/u8"})
    )
    assert fine < 0.9 * coarse


def test_a_wrapped_module_in_training_mode() -> None:
    """DataParallel, dropout, drop-connect, batch norm in training mode: as in eval(), flags kept, patterns match."""

    class Body(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.norm = nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6)
            self.drop, self.head = nn.Dropout2d(0.5), nn.Conv2d(6, 3, 1)

        def forward(self, x: Tensor) -> Tensor:
            y = self.norm(self.stem(x))
            y = y * (torch.rand(len(x), 1, 1, 1) > 0.5) * 2 if self.training else y
            return self.head(self.drop(F.relu(y)))

    model = nn.DataParallel(alive(Body(), 15))
    x = (normal(2, 3, 9, 9),)
    wanted = float_outputs(model, x)[0]
    model.train()
    network = build(model, x, config="w4a8", threads=1)
    better = build(model, x, weights="i4", layers={"*.stem": "i8/u8", "module.head": "i8"}, threads=1)
    assert all(module.training for module in model.modules())
    assert {"module.stem", "module.head"} <= {node.name for node in network.graph().nodes}
    assert cosine(agrees(better, *inputs_of(x))[0], wanted) > 0.99
