"""What a search may choose."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lowbit
from lowbit.errors import ConfigError
from lowbit.searching.space import FixedPoint, Kind, Rule, SearchSpace, parse_choices, parse_widths, stored_space
from tests.searching.networks import traced


@pytest.mark.parametrize(
    ("given", "widths"),
    [
        ("2..8", (2, 3, 4, 5, 6, 7, 8)),
        ("4..16", (4, 5, 6, 7, 8, 16)),
        ("8,2,4", (2, 4, 8)),
        (4, (4,)),
        ([3, 1], (1, 3)),
        ("1..2,8", (1, 2, 8)),
    ],
)
def test_widths(given: Any, widths: tuple[int, ...]) -> None:
    assert parse_widths(given, "weights") == widths


@pytest.mark.parametrize("given", ["", "9", "0..4", "2-8", "8..2", [17], "two", []])
def test_wrong_widths_are_refused(given: Any) -> None:
    with pytest.raises(ConfigError, match="weights"):
        parse_widths(given, "weights")


def test_pairs_of_width_and_fraction() -> None:
    wanted = (FixedPoint(6, 3), FixedPoint(8, 4))
    assert parse_choices([[8, 4], [6, 3]], "weights") == wanted
    assert parse_choices("8:4,6:3", "weights") == wanted
    with pytest.raises(ConfigError, match=r"width, frac_width"):
        parse_choices([[9, 4]], "weights")


def names(space: Any, kind: Kind) -> list[str]:
    return [d.name for d in space.dimensions if d.kind is kind]


def test_one_choice_for_each_layer_and_each_value() -> None:
    space = SearchSpace("2..4", "4,8").of(traced())
    assert names(space, Kind.WEIGHTS) == ["stem weights", "body weights", "head weights"]
    assert names(space, Kind.ACTIVATIONS) == ["stem activations", "body activations", "head activations"]
    assert space.size == 3**3 * 2**3


def test_plans_become_precisions_of_layers() -> None:
    graph = traced()
    space = SearchSpace("1..8", "1..8,16").of(graph)
    plan = {d.name: d.texts[0] for d in space.dimensions} | {"body weights": 5, "body activations": 16, "head activations": 3}
    found = lowbit.quantization.plan.layer_precisions(graph, space.config(plan))
    assert [str(found[name].weights) for name in ("stem", "body", "head")] == ["b1", "i5", "b1"]
    assert [str(found[name].activations) for name in ("stem", "body", "head")] == ["u1", "i16", "u3"]


def test_layers_rules_fixed_and_tied() -> None:
    graph = traced()
    space = SearchSpace(
        "2..8",
        "4..8",
        layers=("conv",),
        rules=(Rule("body", weights="2,4"),),
        fixed={"linear": "i4/u8"},
        tied=(("stem", "body"),),
    ).of(graph)
    assert [d.name for d in space.dimensions] == ["stem weights", "stem activations"]
    assert space.dimensions[0].layers == ("stem", "body")
    assert space.dimensions[0].choices == (2, 4)  # what both may have
    found = lowbit.quantization.plan.layer_precisions(graph, space.config({"stem weights": 4, "stem activations": 5}))
    assert {name: (str(p.weights), str(p.activations)) for name, p in found.items()} == {
        "stem": ("i4", "u5"),
        "body": ("i4", "u5"),
        "head": ("i4", "u8"),
    }


class Branches(nn.Module):
    """Two layers read one value; another value is read by a layer and a softmax."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.left, self.right = nn.Conv2d(3, 8, 3, 1, 1), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 3, 1, 1)
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem(x))
        x = (torch.relu(self.left(x)) + torch.relu(self.right(x))).mean((2, 3))
        return self.head(x) + torch.softmax(x, 1)[:, :4]


def branches() -> Any:
    torch.manual_seed(0)
    return lowbit.trace(Branches().eval(), torch.zeros(2, 3, 8, 8))


def test_a_value_has_one_width_whoever_reads_it() -> None:
    space = SearchSpace("2..8", "2..8").of(branches())
    assert names(space, Kind.ACTIVATIONS) == ["stem activations", "left activations"]  # the head's input is i16: softmax reads it
    assert next(d for d in space.dimensions if d.name == "left activations").layers == ("left", "right")


def test_a_value_that_a_fixed_layer_reads_keeps_its_width() -> None:
    space = SearchSpace("2..8", "2..8", fixed={"right": "i8/u8"}).of(branches())
    assert names(space, Kind.ACTIVATIONS) == ["stem activations"]


def test_no_choice_in_common_is_an_error() -> None:
    space = SearchSpace("2..4", rules=(Rule("body", weights="7,8"),), tied=(("stem", "body"),))
    with pytest.raises(ConfigError, match="no choice in common"):
        space.of(traced())


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (SearchSpace(layers=("stemm",)), "layers: stem, body, head"),
        (SearchSpace(fixed={"*": "i8/u8"}), "nothing is left to search"),
        (SearchSpace(base="fp32"), "needs integers"),
        (SearchSpace(rules=(Rule("*", bias=[8]),)), "pairs"),
    ],
)
def test_wrong_spaces(space: SearchSpace, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        space.of(traced())


def test_mase_rules() -> None:
    rule = Rule.parse({"match": "*", "data_in_width": [8, 4], "data_in_frac_width": [4, 2], "weight": [[8, 6]], "bias": [[8, 6]]})
    assert rule.activations == [[8, 4], [8, 2], [4, 4], [4, 2]]
    space = SearchSpace(rules=(rule,)).of(traced())
    assert space.has_formats
    assert {d.kind for d in space.dimensions} == {Kind.WEIGHTS, Kind.ACTIVATIONS, Kind.BIAS}
    with pytest.raises(ConfigError, match="unknown wieght"):
        Rule.parse({"wieght": [[8, 4]]})
    with pytest.raises(ConfigError, match="belong together"):
        Rule.parse({"weight_width": [8]})


def test_a_space_is_stored_whole() -> None:
    space = SearchSpace("2..8", [[8, 4], [6, 3]], fixed={"head": "i4/u8"}).of(traced())
    again = stored_space("tiny", space.to_json())
    assert again.dimensions == space.dimensions
    assert dict(again.fixed) == dict(space.fixed)
    assert again.to_json() == space.to_json()


def test_unknown_plans_are_refused() -> None:
    space = SearchSpace("2..4", "8").of(traced())
    good = {d.name: d.texts[0] for d in space.dimensions}
    with pytest.raises(ConfigError, match="none of its choices 2, 3, 4"):
        space.config({**good, "stem weights": 5})
    with pytest.raises(ConfigError, match="other dimensions"):
        space.config({"stem weights": 2})


def test_uniform_networks() -> None:
    graph = traced()
    space = SearchSpace("2..8", "4..8", fixed={"head": "i5/u6"}).of(graph)
    found = lowbit.quantization.plan.layer_precisions(graph, space.uniform(3, 2))
    assert {name: (str(p.weights), str(p.activations)) for name, p in found.items()} == {
        "stem": ("i3", "u2"),
        "body": ("i3", "u2"),
        "head": ("i5", "u6"),
    }
