from __future__ import annotations

import pytest

from lowbit.kernels.conv2d.runs import Runs, find_runs
from lowbit.kernels.geometry import ConvGeometry
from lowbit.kernels.layout import Layout

DENSE, PADDED = Layout(1, 8, 8, 32, 32), Layout(1, 8, 8, 30, 32)
IMAGE = Layout(1, 8, 8, 3, 3)


@pytest.mark.parametrize(
    ("src", "kernel", "dilation", "k_group", "window", "runs"),
    [
        (DENSE, (1, 1), (1, 1), 4, 0, Runs(1, 1, 32, 32)),
        (DENSE, (3, 3), (1, 1), 4, 0, Runs(3, 1, 96, 96)),
        (DENSE, (3, 3), (2, 1), 4, 0, Runs(3, 1, 96, 96)),
        (DENSE, (3, 3), (1, 2), 4, 0, Runs(3, 3, 32, 32)),
        (DENSE, (3, 3), (1, 1), 4, 16, Runs(3, 3, 16, 16)),
        (PADDED, (3, 3), (1, 1), 4, 0, Runs(3, 3, 30, 32)),
        (IMAGE, (7, 7), (1, 1), 4, 0, Runs(7, 1, 21, 24)),
        (IMAGE, (7, 7), (1, 1), 1, 0, Runs(7, 1, 21, 21)),
        (Layout(1, 8, 8, 64, 8, "bits"), (3, 3), (1, 1), 32, 0, Runs(3, 1, 192, 192)),
        (Layout(1, 8, 8, 40, 8, "bits"), (3, 3), (1, 1), 32, 0, Runs(3, 3, 40, 64)),
    ],
)
def test_runs(src: Layout, kernel: tuple[int, int], dilation: tuple[int, int], k_group: int, window: int, runs: Runs) -> None:
    at = ConvGeometry(src=src, dst=src, kernel=kernel, stride=(1, 1), dilation=dilation, padding=(0, 0))
    assert find_runs(at, k_group, window) == runs
    assert runs.steps(k_group) * k_group == runs.padded
    assert runs.count == runs.rows * runs.columns
