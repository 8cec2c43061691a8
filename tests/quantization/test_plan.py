import pytest
import torch
from torch import nn

from lowbit.errors import ConfigError
from lowbit.numerics import QType
from lowbit.quantization import LayerPrecision, QuantizationConfig, layer_precisions, make_plan, parse_config
from lowbit.quantization.plan import quantized_values, value_grids
from lowbit.tracer import trace
from tests.graph.build import Build, everything, residual_network


def widths(graph, config) -> dict[str, tuple[str, str, int | None]]:
    return {n: (str(p.weights), str(p.activations), p.container) for n, p in layer_precisions(graph, config).items()}


def test_first_and_last_layer_get_eight_bits() -> None:
    chosen = widths(residual_network(), parse_config("4/int4"))
    assert chosen["stem"] == chosen["fc"] == ("i8", "u8", 8)
    assert chosen["block.conv1"] == chosen["down"] == ("i4", "u4", 4)
    assert widths(residual_network(), parse_config("1/int1"))["fc"] == ("i8", "u8", 8)


def test_first_last_bits_never_narrow_and_can_be_switched_off() -> None:
    assert widths(residual_network(), parse_config("16/int16"))["stem"] == ("i16", "i16", 16)
    config = QuantizationConfig("i4", "u4", first_last_bits=None)
    assert set(widths(residual_network(), config).values()) == {("i4", "u4", None)}


def test_overrides_apply_in_order_field_by_field() -> None:
    config = QuantizationConfig(
        "i8",
        "u8",
        overrides={
            "type:conv2d": LayerPrecision(weights="i4", activations="u4"),
            "block.*": LayerPrecision(weights="i2", container=8),
            "block.conv2": LayerPrecision(activations="u6"),
        },
    )
    chosen = widths(residual_network(), config)
    assert chosen["stem"] == ("i4", "u4", None)  # overrides win over first_last_bits
    assert chosen["block.conv1"] == ("i2", "u4", 8)
    assert chosen["block.conv2"] == ("i2", "u6", 8)
    assert chosen["fc"] == ("i8", "u8", None)


def test_depthwise_pattern() -> None:
    config = QuantizationConfig(
        "i4", "u4", overrides={"type:depthwise": LayerPrecision("i7"), "type:linear": LayerPrecision("i6")}
    )
    chosen = layer_precisions(everything(), config)
    assert {n for n, p in chosen.items() if p.weights == QType.parse("i7")} == {"depthwise"}
    assert {n for n, p in chosen.items() if p.weights == QType.parse("i6")} == {"mixed", "fc"}


def test_pattern_that_matches_nothing_lists_the_layers() -> None:
    config = QuantizationConfig("i8", "u8", overrides={"layer9.*": LayerPrecision("i4")})
    with pytest.raises(ConfigError, match=r"'layer9\.\*' matches no layer; layers: stem, block.conv1, block.conv2, down, fc"):
        layer_precisions(residual_network(), config)
    with pytest.raises(ConfigError, match="layer types are type:conv2d, type:linear and type:depthwise"):
        layer_precisions(residual_network(), QuantizationConfig("i8", "u8", overrides={"type:conv": LayerPrecision("i4")}))


def test_container_too_small_for_an_override() -> None:
    config = QuantizationConfig("i4", "u8", overrides={"down": LayerPrecision(container=2)})
    with pytest.raises(ConfigError, match="down: a container of 2 bits cannot hold i4"):
        layer_precisions(residual_network(), config)


def types(graph, config) -> dict[str, str]:
    plan = make_plan(graph, config)
    return {name: str(plan.requested[grid]) for name, grid in plan.grid.items()}


def test_a_value_has_the_type_of_the_layer_that_reads_it() -> None:
    overrides = {"block.conv2": LayerPrecision(activations="u6"), "down": LayerPrecision(activations="u5")}
    got = types(residual_network(), QuantizationConfig("i4", "u4", overrides=overrides))
    assert got == {
        "x": "u8",  # first layer
        "stem": "u4",  # block.conv1; the residual read does not count
        "block.conv1": "u6",
        "block.conv2": "u5",
        "down": "u8",  # through the mean: what fc asks for
        "mean": "u8",
        "flat": "u8",
        "fc": "None",
    }


def test_residual_without_a_layer_takes_what_the_sum_is_asked_for() -> None:
    b = Build()
    x = b.input("x", 1, 3, 6, 6)
    a = b.conv("a", x, 4)
    skip = b.conv("skip", a, 4, 1, padding=(0, 0, 0, 0), lo=None)
    main = b.conv("main", a, 4, residual=skip)
    b.conv("next", main, 4)
    last = b.conv("last", "next", 4)
    config = QuantizationConfig("i4", "u4", overrides={"next": LayerPrecision(activations="u6")})
    assert types(b.graph(last), config)["skip"] == "u6"


def test_softmax_reads_sixteen_bits_and_outputs_keep_sixteen() -> None:
    got = types(everything(), QuantizationConfig("i8", "u8"))
    assert got["mixed"] == "i16"
    assert got["clamped"] == got["padded"] == got["cut"] == "i16"
    assert got["soft"] == "u8"


def test_softmax_needs_sixteen_bits_even_where_a_layer_reads_along() -> None:
    b = Build()
    logits = b.linear("a", b.input("x", 2, 6), 4)
    soft = b.node("soft", "softmax", logits, axis=1)
    graph = b.graph(b.linear("fc", logits, 2), b.linear("other", soft, 2))
    assert types(graph, QuantizationConfig("i8", "u8"))["a"] == "i16"


def test_final_unary_and_softmax_are_float() -> None:
    b = Build()
    x = b.input("x", 2, 6)
    y = b.node("sigmoid", "unary", b.linear("fc", x, 4), fn="sigmoid")
    z = b.node("probability", "softmax", b.linear("other", x, 4), axis=1)
    got = types(b.graph(y, z), QuantizationConfig("i8", "u8"))
    assert got["sigmoid"] == got["probability"] == "None"
    assert got["fc"] == got["other"] == "i16"


def test_an_output_that_a_layer_reads_stays_integer() -> None:
    b = Build()
    x = b.input("x", 2, 6)
    features = b.linear("features", x, 4)
    got = types(b.graph(features, b.linear("fc", features, 2)), QuantizationConfig("i8", "u8"))
    assert (got["features"], got["fc"]) == ("u8", "None")


def test_signed_and_unsigned_requests_for_one_tensor() -> None:
    b = Build()
    x = b.input("x", 1, 3, 6, 6)
    b.conv("a", x, 4)
    out = b.conv("b", x, 4)
    graph = b.graph("a", out)
    overrides = {"a": LayerPrecision(activations="i8"), "b": LayerPrecision(activations="u8")}
    assert types(graph, QuantizationConfig("i8", "u8", overrides=overrides))["x"] == "u8"


def test_selections_share_a_grid_and_concat_takes_in_what_only_it_reads() -> None:
    grid = value_grids(everything())
    assert grid["branch"] == "cat"  # read by nothing else
    assert grid["max"] == "act"  # act is read by a layer too
    assert grid["mirrored"] == "average"
    assert grid["grown"] == "phases"
    assert grid["tokens"] == grid["turned"] == "sized"
    assert grid["cut"] == grid["padded"] == "clamped"


def test_quantized_values_are_the_same_for_every_configuration() -> None:
    for graph in (residual_network(), everything()):
        for config in (QuantizationConfig("i8", "u8"), QuantizationConfig("b1", "b1", first_last_bits=None)):
            plan = make_plan(graph, config)
            assert {g for g, q in plan.requested.items() if q is not None} == set(quantized_values(graph))


def test_the_parts_of_a_last_transposed_convolution_are_last_together() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), nn.ConvTranspose2d(8, 3, 3, 2, 1, 1))
    graph = trace(model, torch.zeros(1, 3, 9, 9))
    layers = layer_precisions(graph, QuantizationConfig("i4", "u4", first_last_bits=8))
    assert [(name, layer.weights.bits) for name, layer in layers.items()] == [
        ("0", 8), ("1", 4), ("2.2x2", 8), ("2.2x1", 8), ("2.1x2", 8), ("2.1x1", 8)
    ]  # fmt: skip


class Branches(nn.Module):
    """One value read by two convolutions, one by a depthwise alone, one by both kinds."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.left, self.right = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1)
        self.depthwise, self.mixed, self.last = nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 8, 3), nn.Conv2d(8, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.stem(x))
        y = torch.relu(self.left(x) + self.right(x))
        z = torch.relu(self.depthwise(y))
        return self.last(torch.relu(self.depthwise(z) + self.mixed(z)))


@pytest.mark.parametrize(
    ("config", "wanted"),
    [
        ({"weights": "i4"}, {"stem": "u8:240", "y": "u8", "z": "u8:240"}),
        ({"weights": "i3"}, {"stem": "u8:248", "y": "u8", "z": "u8:248"}),
        ({"weights": "b1"}, {"stem": "u8:253", "y": "u8", "z": "u8:253"}),
        ({"weights": "i5"}, {"stem": "u8", "y": "u8", "z": "u8"}),
        ({"weights": "i8"}, {"stem": "u8", "y": "u8", "z": "u8"}),
        ({"weights": "i4", "activations": "u7"}, {"stem": "u7", "y": "u7", "z": "u7"}),
        ({"weights": "i4", "activations": "i8"}, {"stem": "i8", "y": "i8", "z": "i8"}),
        ({"weights": "i4", "full_range": True}, {"stem": "u8", "y": "u8", "z": "u8"}),
        ({"weights": "i4", "overrides": {"right": LayerPrecision("i8")}}, {"stem": "u8", "y": "u8", "z": "u8:240"}),
        ({"weights": "i2", "overrides": {"right": LayerPrecision("i4")}}, {"stem": "u8:240", "y": "u8", "z": "u8:252"}),
        ({"weights": "i4", "activations": "u8:200"}, {"stem": "u8:200", "y": "u8:200", "z": "u8:200"}),
    ],
    ids=str,
)
def test_bytes_beside_narrow_weights_leave_room_for_them(config: dict, wanted: dict[str, str]) -> None:
    """The largest input, less the least weight, plus the largest, fits a byte; who reads with wide weights keeps all of it."""
    graph = trace(Branches().eval(), torch.zeros(1, 3, 12, 12))
    plan = make_plan(graph, QuantizationConfig(**{"activations": "u8", "first_last_bits": None, **config}))
    reads = {"stem": "left", "y": "depthwise", "z": "mixed"}
    found = {name: str(plan.requested[plan.grid[graph.node(layer).inputs[0]]]) for name, layer in reads.items()}
    assert found == wanted
