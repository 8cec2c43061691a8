import numpy as np
import pytest
import torch

from lowbit.errors import GraphError
from lowbit.frontend.pointwise import POINTWISE
from lowbit.graph import Node
from lowbit.graph.ops import OPS, UNARY, apply_unary, channel_multiplier
from tests.graph.build import Build

EXTRA = {
    "elu": [{}, {"alpha": 0.3}],
    "leaky_relu": [{}, {"alpha": 0.3}],
    "pow": [{"exponent": p} for p in (3.0, -2.0, 0.7, -1.0, 5.0)],
    "softplus": [{}, {"beta": 2.5}, {"beta": 2.0, "threshold": 0.5}, {"threshold": -3.0}],
}


@pytest.mark.parametrize(("fn", "extra"), [(fn, extra) for fn in UNARY for extra in EXTRA.get(fn, [{}])], ids=str)
def test_unary_equals_torch(fn: str, extra: dict[str, float]) -> None:
    x = np.concatenate([np.linspace(-12, 12, 97), [-80.0, 80.0, 1e-9]])
    if fn in ("log", "log1p", "rsqrt", "sqrt", "reciprocal"):
        x = np.abs(x) + 1e-3
    expected = POINTWISE[fn](torch.from_numpy(x), **extra).numpy()
    np.testing.assert_allclose(apply_unary(fn, x, **extra), expected, rtol=1e-6, atol=1e-9)


def test_unary_table_is_torch_table() -> None:
    assert set(UNARY) == set(POINTWISE)


def test_outside_the_domain_is_silent() -> None:
    assert np.isnan(apply_unary("log", np.array([-1.0])))[0]
    assert apply_unary("exp", np.array([1e4]))[0] == np.inf


CONV = {"stride": (1, 1), "padding": (0, 0, 0, 0), "dilation": (1, 1), "groups": 1}
RESIZED = {"rows": ((0, (0.5, 0.5)),), "columns": ((0, (1.0,)),)}
INTERLEAVED = {"rows": ((1, 0),), "columns": ((2, 0),), "phases": (2, 3), "groups": 2}


@pytest.mark.parametrize(
    ("op", "inputs", "attrs", "shape"),
    [
        (
            "conv2d",
            [(2, 4, 9, 8), (6, 2, 3, 2), (6,)],
            {**CONV, "groups": 2, "stride": (2, 1), "padding": (1, 0, 2, 3)},
            (2, 6, 5, 10),
        ),
        ("conv2d", [(1, 1, 9, 9), (1, 1, 3, 3)], {**CONV, "dilation": (3, 4)}, (1, 1, 3, 1)),
        ("linear", [(2, 3, 4), (5, 4), (5,)], {}, (2, 3, 5)),
        ("add", [(2, 3, 4, 4), (3, 1, 1)], {}, (2, 3, 4, 4)),
        ("concat", [(2, 3, 4), (2, 5, 4)], {"axis": 1}, (2, 8, 4)),
        ("max_pool2d", [(1, 2, 4, 4)], {"windows": ((0, 2), (1, 4)), "columns": ((0, 4),)}, (1, 2, 2, 1)),
        ("permute", [(1, 2, 3)], {"dims": (2, 0, 1)}, (3, 1, 2)),
        ("pad", [(1, 2)], {"before": (0, 3), "after": (1, 0), "value": 0.0}, (2, 5)),
        ("pad", [()], {"before": (), "after": (), "value": 0.0}, ()),
        ("reshape", [(2, 6)], {"shape": (3, 4)}, (3, 4)),
        ("expand", [(2, 1, 3, 1)], {"shape": (2, 5, 3, 1)}, (2, 5, 3, 1)),
        ("resize", [(2, 3, 4, 5)], {"rows": ((0, (0.5, 0.5)),) * 3, "columns": ((4, (1.0,)),) * 7}, (2, 3, 3, 7)),
        (
            "interleave",
            [(2, 12, 4, 3)],
            {"rows": ((1, 0), (0, 1), (1, 1)), "columns": ((2, 0),), "phases": (2, 3), "groups": 2},
            (2, 2, 3, 1),
        ),
        ("take", [(2, 3, 4)], {"indices": (None, (2, 0, 1, 1), (3,))}, (2, 4, 1)),
    ],
)
def test_shapes(op: str, inputs: list[tuple[int, ...]], attrs: dict, shape: tuple[int, ...]) -> None:
    assert OPS[op].infer(Node("n", op, (), attrs), inputs, ()) == shape


@pytest.mark.parametrize(
    ("op", "inputs", "attrs", "match"),
    [
        ("conv2d", [(4, 9, 8), (6, 2, 3, 2)], CONV, "needs x NCHW"),
        ("conv2d", [(1, 4, 9, 8), (6, 3, 3, 2)], CONV, "do not fit"),
        ("conv2d", [(1, 4, 9, 8), (5, 2, 3, 2)], {**CONV, "groups": 2}, "do not fit"),
        ("conv2d", [(1, 4, 2, 8), (6, 4, 3, 3)], CONV, "larger than the padded input"),
        ("conv2d", [(1, 4, 9, 8), (6, 4, 3, 3), (5,)], CONV, "bias of shape"),
        ("conv2d", [(1, 4, 9, 8), (6, 4, 3, 3), (6,), (6,)], CONV, "4 inputs"),
        ("conv2d", [(1, 4, 9, 8), (6, 4, 3, 3), (6,), (1, 6, 9, 8)], {**CONV, "residual": True}, "residual of shape"),
        ("conv2d", [(1, 4, 9, 8), (6, 4, 3, 3)], {**CONV, "residual": True}, "no residual input"),
        ("conv2d", [(1, 4, 9, 8), (6, 4, 3, 3)], {**CONV, "padding": (-1, 0, 0, 0)}, "negative padding"),
        ("conv2d", [(1, 4, 9, 8), (6, 4, 3, 3)], {**CONV, "stride": (0, 1)}, "at least 1"),
        ("linear", [(4,), (5, 4)], {}, "rank >= 2"),
        ("linear", [(2, 3), (5, 4)], {}, "reads 4"),
        ("affine", [(2, 3, 4), (3,), (4,)], {}, "parameter of shape"),
        ("affine", [(2,), (3,), (3,)], {}, "channel axis"),
        ("softmax", [(2, 3)], {"axis": 2}, "axis 2"),
        ("add", [(2, 3), (2, 4)], {}, "do not broadcast"),
        ("concat", [(2, 3), (3, 3)], {"axis": 1}, "cannot concatenate"),
        ("concat", [(2, 3), (3, 3)], {"axis": 2}, "axis 2"),
        ("max_pool2d", [(2, 3)], {"windows": (), "columns": ()}, "needs x NCHW"),
        ("max_pool2d", [(1, 2, 4, 4)], {"windows": ((0, 5),), "columns": ((0, 1),)}, "windows holds"),
        ("max_pool2d", [(1, 2, 4, 4)], {"windows": ((0, 2),), "columns": ((2, 2),)}, "columns holds"),
        ("avg_pool2d", [(1, 2, 4, 4)], {"windows": ((0, 2),), "columns": ((0, 2),), "divisors": (1, 2)}, "positive divisors"),
        ("reshape", [(2, 3)], {"shape": (5,)}, "cannot reshape"),
        ("expand", [(2, 3)], {"shape": (2, 6)}, r"cannot expand \(2, 3\) to \(2, 6\); only axes of extent 1 grow"),
        ("expand", [(1, 3)], {"shape": (2, 1, 3)}, "cannot expand"),
        ("expand", [(1, 3)], {"shape": (0, 3)}, "cannot expand"),
        ("permute", [(2, 3)], {"dims": (0, 0)}, "do not permute"),
        ("slice", [(4, 4)], {"starts": (0,), "steps": (1,)}, "need the rank"),
        ("slice", [(4, 4)], {"starts": (0, 3), "steps": (1, 2)}, "leaves an axis of 4"),
        ("resize", [(1, 2, 3)], RESIZED, "needs x NCHW"),
        ("resize", [(1, 2, 3, 3)], {**RESIZED, "rows": ((0, (0.5, 0.5)), (1, (1.0,)))}, r"rows: \[1, 2\] weights"),
        ("resize", [(1, 2, 3, 3)], {**RESIZED, "columns": ()}, r"columns: \[\] weights"),
        ("resize", [(1, 2, 3, 3)], {**RESIZED, "rows": ((2, (0.5, 0.5)),)}, "rows: from 2 on, of 3"),
        ("resize", [(1, 2, 3, 3)], {**RESIZED, "columns": ((0, (0.5, 0.6)),)}, "columns: weights that are 1.1 together"),
        ("interleave", [(2, 12, 4)], INTERLEAVED, "needs x NCHW"),
        ("interleave", [(2, 13, 4, 3)], INTERLEAVED, "13 channels, 2 groups of 2 x 3 phases"),
        ("interleave", [(2, 12, 4, 3)], {**INTERLEAVED, "rows": ((2, 0),)}, r"rows: \(2, 0\) of 2 phases of 4"),
        ("interleave", [(2, 12, 4, 3)], {**INTERLEAVED, "columns": ((2, 3),)}, r"columns: \(2, 3\) of 3 phases of 3"),
        ("interleave", [(2, 12, 4, 3)], {**INTERLEAVED, "rows": ()}, "rows: None of 2"),
        ("take", [(2, 3)], {"indices": (None,)}, "indices 1 axes"),
        ("take", [(2, 3)], {"indices": (None, (0, 3))}, "axis 1 of 3 elements has no position 3"),
        ("take", [(2, 3)], {"indices": ((), None)}, "axis 0 of 2"),
        ("pad", [(4,)], {"before": (0, 1), "after": (0,), "value": 0.0}, "need the rank"),
        ("pad", [(4,)], {"before": (-1,), "after": (0,), "value": 0.0}, "negative padding"),
    ],
)
def test_shape_errors(op: str, inputs: list[tuple[int, ...]], attrs: dict, match: str) -> None:
    with pytest.raises(GraphError, match=match):
        OPS[op].infer(Node("n", op, (), attrs), inputs, (4, 2))


@pytest.mark.parametrize(("groups", "channels", "multiplier"), [(8, 8, 1), (8, 24, 3), (4, 8, None), (1, 8, None)])
def test_depthwise_convolutions(groups: int, channels: int, multiplier: int | None) -> None:
    b = Build()
    graph = b.graph(b.conv("conv", b.input("x", 1, 8, 5, 5), channels, groups=groups))
    assert channel_multiplier(graph, graph.node("conv")) == multiplier


def test_only_a_convolution_of_several_channels_is_depthwise() -> None:
    b = Build()
    graph = b.graph(b.linear("fc", b.input("x", 1, 1), 8))
    assert channel_multiplier(graph, graph.node("fc")) is None
    b = Build()
    graph = b.graph(b.conv("conv", b.input("x", 1, 1, 5, 5), 8))
    assert channel_multiplier(graph, graph.node("conv")) is None
