"""Compiled networks on real images, beside float on the same images."""

from __future__ import annotations

import pytest

from lowbit.evaluation.plan import EvalPlan
from lowbit.evaluation.run import run_eval
from tests.share import share

# network: float top-1 that its data set states, largest loss allowed at 8 bits, both in points
NETWORKS = {
    "cifar10_resnet8_mlperftiny": (87.32, 0.5),
    "cifar10_resnet20": (92.26, 0.5),
    "cifar10_resnet32": (92.92, 0.5),
    "imagenet_mobilenet_v1_075_224": (85.0, 1.5),
}


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize("network", share([*reversed(NETWORKS)], 3))
def test_top1_of_float_and_8_bits(network: str) -> None:
    stated, loss = NETWORKS[network]
    (row,) = run_eval(EvalPlan(network, ("8/int8",), method="nearest"))
    assert row.reference is not None
    assert row.comparison is not None
    assert round(100 * row.reference.top1, 2) == stated
    assert 100 * row.comparison.difference >= -loss
