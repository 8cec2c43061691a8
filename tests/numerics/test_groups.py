import numpy as np

from lowbit.numerics import QParams, QType, dequantize
from lowbit.numerics.groups import expand_groups, group_factor


def test_each_input_channel_has_the_scale_of_its_group() -> None:
    scale = np.array([[1, 2, 3], [4, 5, 6]], np.uint8)
    expanded = expand_groups(scale, 2, 5)
    assert expanded.tolist() == [[1, 1, 2, 2, 3], [4, 4, 5, 5, 6]]
    assert expanded.dtype == np.int32
    params = QParams(QType.parse("i4"), np.ones(2), 0, 0, 0, 2, scale)
    factor = group_factor(params, (2, 5, 3, 3))
    assert factor is not None
    assert factor.shape == (2, 5, 1, 1)
    assert dequantize(np.full((2, 5), 7), params).tolist() == (7 * expanded).tolist()
    assert group_factor(QParams(QType.parse("i4"), np.ones(2), 0, 0), (2, 5)) is None
