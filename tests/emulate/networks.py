"""Networks compiled for a Raspberry Pi, and the same integer graph compiled for this machine."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lowbit import zoo
from lowbit.chosen_config import make_config
from lowbit.compiler import compile as compile_network
from lowbit.graph import Graph
from lowbit.quantization import parse_config
from lowbit.quantizer import quantized
from lowbit.runtime.compiled import Compiled
from lowbit.tracer import trace
from lowbit.zoo.samples import smooth_samples
from tests.end_to_end.test_extreme_inputs import SHAPE, Mixed

__all__ = ["EVERY", "compiled", "example", "graph"]

EVERY = ("fp32", "16/int16", "8/int8", "7/int7", "6/int6", "5/int5", "4/int4", "3/int3", "2/int2", "1/int1")


class Decoder(nn.Module):
    """Mirrored borders, transposed convolutions of even and uneven phases, enlargements, selections, masks."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 20, 3, 2, padding=1, padding_mode="reflect")
        self.even, self.uneven = nn.ConvTranspose2d(20, 12, 4, 2, 1), nn.ConvTranspose2d(12, 10, 3, 2, 1, 1)
        self.head = nn.Conv2d(10, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x[:, [2, 1, 0]]).relu()
        y = self.even(x).relu()
        y = self.uneven(y + F.interpolate(x[:, :12], y.shape[2:]))
        y = F.interpolate(y, (17, 21), mode="bilinear", align_corners=True).flip(3)
        return self.head(torch.where(torch.arange(21) % 4 > 0, y, -0.5))


SHAPES = {
    "decoder": (1, 3, 12, 14),
    "mixed": SHAPE,
    "mobilenet_v1": (1, 3, 32, 32),
    "resnet50": (1, 3, 64, 64),
    "lenet5": (1, 1, 32, 32),
    "mlp_jsc": (1, 16),
}


def example(name: str) -> np.ndarray:
    return smooth_samples(SHAPES[name], 7).numpy()


@lru_cache(maxsize=2)
def _traced(name: str) -> Graph:
    torch.manual_seed(3)
    made = {"mixed": Mixed, "decoder": Decoder}
    model = made[name]().eval() if name in made else zoo.build(name)
    return trace(model, torch.from_numpy(example(name)), name)


@lru_cache(maxsize=2)
def graph(name: str, config: str) -> Graph:
    """The quantized graph; ``all b1`` has one bit in the first and the last layer, too."""
    chosen = make_config("b1", "u1", first_last_bits=None) if config == "all b1" else parse_config(config)
    return _traced(name) if chosen is None else quantized(_traced(name), chosen, [example(name)])


@lru_cache(maxsize=2)
def compiled(name: str, config: str, target: str = "native") -> Compiled:
    return compile_network(graph(name, config), target=target, name=name)
