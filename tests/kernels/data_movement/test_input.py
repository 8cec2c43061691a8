"""InputSpec saturates."""

from __future__ import annotations

import numpy as np

from lowbit.kernels.data_movement.reference import stored_input
from lowbit.kernels.data_movement.spec import InputSpec
from lowbit.kernels.layout import Layout


def test_reference_sends_nan_to_the_lowest_value():
    spec = InputSpec(dst=Layout(1, 1, 1, 1, 1), strides=(1, 1, 1, 1))
    x = np.full((1, 1, 1, 1), np.nan, np.float32)
    assert stored_input(spec, x, np.array([1, -3, 4, 3], np.float32)).item() == 0
