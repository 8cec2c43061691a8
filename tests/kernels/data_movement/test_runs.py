"""RunsSpec takes its geometry as an argument."""

from __future__ import annotations

import pytest

from lowbit.kernels.data_movement.spec import RunsSpec


def test_the_call_knows_the_units():
    with pytest.raises(NotImplementedError):
        _ = RunsSpec(src="u8", dst="u8", depth=1).units
