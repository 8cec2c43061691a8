"""What lowering does differently for GPUs: images lie in words, and every convolution of a small network has tensor cores."""

from __future__ import annotations

import pytest
from benchmarks.exact_networks import exact_calibration, exact_graph

from lowbit.graph import Graph
from lowbit.kernels.conv2d.forms import FORMS
from lowbit.kernels.conv2d.spec import ConvSpec
from lowbit.lowering import lower
from lowbit.lowering.choose_layout import choose_layouts
from lowbit.quantization import parse_config, quantize_graph
from lowbit.targets import TARGETS


@pytest.fixture(scope="module")
def network() -> Graph:
    graph = exact_graph("cifar_resnet20")
    chosen = parse_config("8/int8")
    assert chosen is not None
    return quantize_graph(graph, exact_calibration(graph), chosen)


def test_images_lie_in_words(network: Graph) -> None:
    tight, padded = choose_layouts(network), choose_layouts(network, 4)
    changed = {name for name in tight if tight[name] != padded[name]}
    assert {(tight[name].stride, padded[name].stride) for name in changed} == {(3, 4)}


@pytest.mark.parametrize("target", ["cuda-sm75", "cuda-sm80", "cuda-sm90"])
def test_every_convolution_runs_on_tensor_cores(network: Graph, target: str) -> None:
    specs = [call.spec for call in lower(network, TARGETS[target]).calls if isinstance(call.spec, ConvSpec)]
    assert len(specs) == 20
    assert specs[0].src.stride == 4
    assert all("mma" in FORMS[spec.form].features for spec in specs)
