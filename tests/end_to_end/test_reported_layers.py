"""Reported elsewhere: layers that other compilers lack or get wrong, borders, enlargements, selections."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.end_to_end.check import as_tuple, build
from tests.end_to_end.reported import Net, Table, alive

LAYERS = Table()
Made = tuple[nn.Module, tuple[Tensor, ...]]


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@LAYERS.add(widths=("4/int4", "2/int2", "1/int1"))
def borders_that_repeat_the_inside() -> Made:
    """pytorch/executorch PR 14860, pytorch/pytorch PR 77928: padding modes taken for zeros."""
    first = nn.Conv2d(3, 8, 3, padding=1, padding_mode="reflect")
    second = nn.Conv2d(8, 8, 3, padding=(0, 1), padding_mode="circular")
    third = nn.Conv2d(8, 4, 5, padding=(2, 1), padding_mode="replicate")
    return alive(nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), third), 43), (normal(1, 3, 16, 18),)


@LAYERS.add(widths=("4/int4",))
def pyramid_with_uneven_enlargements() -> Made:
    """open-mmlab/mmdetection PR 2157: levels of 19 x 25, 10 x 13 and 5 x 7; nearest, to the size of the next level."""

    def forward(net: Net, x: Tensor) -> tuple[Tensor, ...]:
        c3 = net.c3(net.stem(x)).relu()
        c4 = net.c4(c3).relu()
        p5 = net.l5(net.c5(c4).relu())
        p4 = net.l4(c4) + F.interpolate(p5, size=c4.shape[2:], mode="nearest")
        p3 = net.l3(c3) + F.interpolate(p4, size=c3.shape[2:], mode="nearest")
        return net.smooth(p3), net.smooth(p4), net.smooth(p5)

    levels = {"stem": (3, 8), "c3": (8, 12), "c4": (12, 16), "c5": (16, 16)}
    parts = {name: nn.Conv2d(*channels, 3, 2, 1) for name, channels in levels.items()}
    sides = {f"l{k}": nn.Conv2d(c, 8, 1) for k, c in ((3, 12), (4, 16), (5, 16))}
    return alive(Net(forward, **parts, **sides, smooth=nn.Conv2d(8, 8, 3, padding=1)), 45), (normal(1, 3, 76, 100),)


@LAYERS.add(widths=("4/int4", "1/int1"))
def transposed_convolutions_with_channels_of_very_different_size() -> Made:
    """microsoft/onnxruntime 19694, pytorch/pytorch 54816, OpenPPL/ppq 339: scales belong to output channels, axis 1 of the
    weight, interleaved with groups."""
    layers = nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.ConvTranspose2d(8, 6, 4, 2, 1, groups=2), nn.BatchNorm2d(6), nn.ReLU()
    model = alive(nn.Sequential(*layers, nn.ConvTranspose2d(6, 3, 3, 2, 1, 1)), 44)
    with torch.no_grad():
        model[2].weight *= torch.tensor([0.1, 1.0, 4.0]).reshape(1, 3, 1, 1)
    return model, (normal(1, 3, 12, 14),)


@LAYERS.add(widths=("4/int4", "2/int2"))
def bilinear_decoder_with_corners_either_way() -> Made:
    """google-ai-edge/litert-torch 330, tenstorrent/tt-metal 27001: align_corners ignored; one pixel stretched over a picture."""

    def forward(net: Net, x: Tensor) -> Tensor:
        x = net.stem(x).relu()
        pooled = net.image(F.adaptive_avg_pool2d(x, 1)).relu()
        pooled = F.interpolate(pooled, size=x.shape[2:], mode="bilinear", align_corners=False)
        x = net.project(torch.cat((net.near(x), net.far(x), pooled), 1))
        x = F.interpolate(x, scale_factor=4, mode="bilinear", align_corners=True)
        return F.interpolate(x, size=(30, 51), mode="bilinear", align_corners=False)

    parts = {"stem": nn.Conv2d(3, 16, 5, 4), "near": nn.Conv2d(16, 8, 1), "far": nn.Conv2d(16, 8, 3, padding=3, dilation=3)}
    return alive(Net(forward, **parts, image=nn.Conv2d(16, 8, 1), project=nn.Conv2d(24, 5, 1)), 46), (normal(1, 3, 36, 44),)


@LAYERS.add(widths=("4/int4",))
def generalised_mean_with_an_exponent_per_channel() -> Made:
    """alibaba/TinyNeuralNetwork 221, cirtorch's GeM: pow with a parameter of several values."""

    def forward(net: Net, x: Tensor) -> Tensor:
        x = net.stem(x).relu().clamp(min=1e-6).pow(net.p)
        return net.head(F.avg_pool2d(x, (x.size(-2), x.size(-1))).pow(1.0 / net.p).flatten(1))

    p = nn.Parameter(torch.linspace(2.5, 3.5, 8).reshape(8, 1, 1))
    return alive(Net(forward, stem=nn.Conv2d(3, 8, 3, 2), head=nn.Linear(8, 6), p=p), 65), (normal(1, 3, 16, 16),)


@LAYERS.add(widths=("4/int4",))
def constant_masks() -> Made:
    def forward(net: Net, x: Tensor) -> Tensor:
        x = net.a(x).masked_fill(torch.arange(14) % 3 == 0, -0.5)
        return net.b(torch.where(torch.eye(12, 14) > 0, x, x.relu()))

    return alive(Net(forward, a=nn.Conv2d(3, 8, 3, padding=1), b=nn.Conv2d(8, 4, 1)), 66), (normal(1, 3, 12, 14),)


@LAYERS.add(widths=("3/int3",))
def reversed_channels_and_a_mirror_image() -> Made:
    """Tencent/ncnn 5093, ultralytics/yolov5 PR 4807: channels by a list of indices, slices with steps, flips."""

    def once(net: Net, x: Tensor) -> Tensor:
        x = torch.cat((x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2]), 1)
        return net.b(net.a(x).relu())

    def forward(net: Net, x: Tensor) -> Tensor:
        x = x[:, [2, 1, 0]]
        return (once(net, x) + torch.flip(once(net, torch.flip(x, (3,))), (3,))) / 2

    return alive(Net(forward, a=nn.Conv2d(12, 16, 3, padding=1), b=nn.Conv2d(16, 4, 1)), 56), (normal(1, 3, 20, 24),)


@pytest.mark.parametrize(("name", "width"), LAYERS.cases())
def test_reported(name: str, width: str) -> None:
    LAYERS.check(name, width)


@pytest.mark.parametrize("size", [(13, 19), (7, 40), (5, 5)])
def test_nearest_neighbours_are_torchs_own_bit_for_bit(size: tuple[int, int]) -> None:
    x = normal(1, 5, 7, 11)
    (got,) = as_tuple(build(nn.Upsample(size), (x,), config="fp32")(x))
    assert torch.equal(got, F.interpolate(x, size))
