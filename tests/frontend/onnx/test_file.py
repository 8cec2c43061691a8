"""Files that are wrong, and shapes that are free."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import lowbit
from lowbit.errors import ConfigError, InputError, NumericsError, ToolMissing, UnsupportedOperation
from lowbit.frontend import evaluate, import_model
from lowbit.frontend.imported import ImportedNetwork
from lowbit.frontend.onnx import library
from lowbit.frontend.onnx.file import is_onnx
from lowbit.zoo import load_network
from lowbit.zoo.building import load_model, short_name
from tests.frontend.onnx.models import model

WEIGHTS = np.random.default_rng(0).standard_normal((4, 3, 3, 3)).astype(np.float32)


def _conv(shape: tuple[int | str, ...] = (1, 3, 6, 6), weights: np.ndarray = WEIGHTS) -> Any:
    return model([("Conv", "x w", "y")], {"x": shape}, {"w": weights})


def _saved(given: Any, folder: Path) -> Path:
    path = folder / "net.onnx"
    path.write_bytes(given.SerializeToString())
    return path


def test_free_extents_are_named() -> None:
    with pytest.raises(InputError, match=r"x's axis 0 \(batch\), x's axis 3 \(width\); .* --input-shape x=Nx3x6xN"):
        import_model(_conv(("batch", 3, 6, "width")))


def test_all_inputs_that_must_be_said_are_named() -> None:
    """Those that were given already, too: the option replaces what was written, not adds to it."""
    given = model([("Add", "x y", "s"), ("Add", "s z", "t")], {"x": ("n", 3), "y": (-1, 3), "z": (1, 3)}, {})
    with pytest.raises(
        InputError, match=r"free: y's axis 0 .* say --input-shape x=2x3,y=Nx3, or example_inputs=\{'x': .*, 'y': "
    ):
        import_model(given, {"x": (2, 3)})


@pytest.mark.parametrize("given", [{"x": (2, 3, 6, 5)}, {"x": torch.zeros(2, 3, 6, 5)}, torch.zeros(2, 3, 6, 5), [(2, 3, 6, 5)]])
def test_free_extents_are_given(given: Any) -> None:
    graph = import_model(_conv(("batch", 3, 6, "width")), given)
    assert graph.types[graph.inputs[0]].shape == (2, 3, 6, 5)
    assert graph.types[graph.outputs[0]].shape == (2, 4, 4, 3)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"z": (1, 3, 6, 6)}, "has no input z; it has x"),
        ({"x": (3, 6, 6)}, r"input x has 4 axes, the shape \(3, 6, 6\) given for it 3"),
        ([(1, 3, 6, 6), (1,)], r"has 1 inputs \(x\), but shapes of 2 are given"),
    ],
)
def test_shapes_that_are_not_the_files(given: Any, text: str) -> None:
    with pytest.raises(InputError, match=text):
        import_model(_conv(), given)


def test_no_shape() -> None:
    with pytest.raises(ConfigError, match="is no shape"):
        import_model(_conv(), {"x": "1x3"})


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no.onnx does not exist"):
        lowbit.compile(tmp_path / "no.onnx")


@pytest.mark.parametrize("keep", [0, 10, 100, 400])
def test_a_truncated_file(tmp_path: Path, keep: int) -> None:
    path = _saved(_conv(), tmp_path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match="net.onnx (cannot be read as an ONNX model|holds no ONNX graph|is not a valid)"):
        import_model(path)


def test_a_tampered_file(tmp_path: Path) -> None:
    given = _conv()
    given.graph.initializer[0].dims[0] = 5
    with pytest.raises(InputError, match="net.onnx is not a valid ONNX model|the tensor w is damaged"):
        import_model(_saved(given, tmp_path))


def test_missing_external_data(tmp_path: Path) -> None:
    import onnx

    path = tmp_path / "net.onnx"
    onnx.save(_conv(), path, save_as_external_data=True, location="net.data", size_threshold=0)
    assert import_model(path).nodes
    (tmp_path / "net.data").unlink()
    with pytest.raises(InputError, match="net.onnx cannot be read as an ONNX model: .*net.data"):
        import_model(path)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_no_numbers(bad: float) -> None:
    weights = WEIGHTS.copy()
    weights[1, 2, 0, 0] = bad
    with pytest.raises(NumericsError, match=r"parameter w read by ONNX opset 17 in node0 \(graph\) holds 1 NaN or Inf"):
        import_model(_conv(weights=weights))


@pytest.mark.parametrize("kind", [np.float16, np.float64])
def test_other_floating_types_become_float32(kind: type) -> None:
    given = model(
        [("Cast", "x", "h", {"to": 10 if kind is np.float16 else 11}), ("Conv", "h w", "y")],
        {"x": (1, 3, 6, 6)},
        {"w": WEIGHTS.astype(kind)},
    )
    x = torch.randn(1, 3, 6, 6)
    (ours,) = evaluate(import_model(given), [x])
    expected = torch.nn.functional.conv2d(x, torch.from_numpy(WEIGHTS.astype(kind).astype(np.float32)))
    assert torch.allclose(ours, expected, atol=1e-5)


def test_an_integer_input() -> None:
    given = _conv()
    given.graph.input[0].type.tensor_type.elem_type = 6
    with pytest.raises(InputError, match="not a valid ONNX model|input x is of type INT32; inputs must be floating point"):
        import_model(given)


def test_an_old_opset() -> None:
    with pytest.raises(UnsupportedOperation, match="graph is of opset 8; read are opset 9 and newer"):
        import_model(model([("Relu", "x", "y")], {"x": (1, 3)}, opset=8))


def test_an_unknown_domain() -> None:
    given = model([("com.example:Thing", "x", "y")], {"x": (1, 3)}, domains=["com.example"])
    with pytest.raises(
        UnsupportedOperation, match=r"Thing of com.example \(version 1\) in node0 \(graph\): lowbit cannot compile"
    ):
        import_model(given)


def test_an_output_without_input() -> None:
    with pytest.raises(UnsupportedOperation, match="graph: output y does not depend on the inputs"):
        import_model(
            model([("Neg", "c", "y"), ("Relu", "x", "z")], {"x": (1, 3)}, {"c": np.ones(3, np.float32)}, outputs=("y", "z"))
        )


def test_weights_from_the_input() -> None:
    given = model([("Exp", "x", "w"), ("Conv", "x w", "y")], {"x": (3, 3, 3, 3)})
    with pytest.raises(
        UnsupportedOperation, match=r"Conv \(ONNX opset 17\) in node1 \(graph\): weight and bias must be constants"
    ):
        import_model(given)


def test_without_onnx(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "import_module", lambda name: (_ for _ in ()).throw(ImportError(f"No module named {name!r}")))
    with pytest.raises(ToolMissing, match=r"pip install 'lowbit\[onnx\]'"):
        import_model(_conv())


def test_what_is_an_onnx_model() -> None:
    assert is_onnx("a/b.onnx")
    assert is_onnx(Path("b.onnx"))
    assert is_onnx(_conv())
    assert not is_onnx("tests.tiny:network")
    assert not is_onnx(torch.nn.ReLU())


def test_as_a_module(tmp_path: Path) -> None:
    path = _saved(_conv(("n", 3, 6, 6)), tmp_path)
    network, (example,) = load_network(str(path), {"x": (2, 3, 6, 6)})
    assert isinstance(network, ImportedNetwork)
    assert example.shape == (2, 3, 6, 6)
    expected = torch.nn.functional.conv2d(example, torch.from_numpy(WEIGHTS))
    assert torch.allclose(network(example), expected, atol=1e-5)
    assert network(example[:1]).shape == (1, 4, 4, 4)  # read again for another batch
    (one,) = load_network(str(path), (2, 3, 6, 6), batch=1)[1]
    assert one.shape == (1, 3, 6, 6)
    assert short_name(str(path)) == "net"
    assert short_name("tests.tiny:network") == "network"
    with pytest.raises(InputError, match="leaves extents of its inputs free"):
        load_model(str(path))


def test_names_of_inputs_are_for_files() -> None:
    with pytest.raises(ConfigError, match="names of inputs are for .onnx files"):
        load_network("tests.tiny:network", {"x": (1, 3, 8, 8)})


def test_a_batch_that_cannot_be_made(tmp_path: Path) -> None:
    path = _saved(model([("Relu", "x", "y")], {"x": (5,)}), tmp_path)
    with pytest.raises(ConfigError, match="a batch of 2 cannot be made of its inputs"):
        load_network(str(path), batch=2)


def _bound(rows: int) -> Any:
    """A file whose Reshape says how many rows there are."""
    weights = np.random.default_rng(1).standard_normal((64, 5)).astype(np.float32)
    flat = np.array([rows, 64], np.int64)
    nodes = [("Conv", "x w", "c"), ("Reshape", "c shape", "f"), ("MatMul", "f m", "y")]
    return model(nodes, {"x": (rows, 3, 6, 6)}, {"w": WEIGHTS, "shape": flat, "m": weights})


def test_rows_that_a_file_is_bound_to_are_made_others() -> None:
    bound, x = _bound(1), torch.randn(5, 3, 6, 6)
    module = ImportedNetwork(bound)
    assert torch.equal(module(x), torch.cat([module(row[None]) for row in x]))
    assert import_model(_bound(2), {"x": (7, 3, 6, 6)}).types["x"].shape == (7, 3, 6, 6)
    with pytest.raises(UnsupportedOperation, match=r"Reshape .*shape '\[1, 64\]' is invalid"):
        import_model(bound, {"x": (1, 3, 8, 6)})  # not only rows are others


@pytest.mark.parametrize("holds", [True, False])
def test_a_condition_that_is_known_chooses_a_branch(holds: bool) -> None:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    def branch(name: str, op: str) -> Any:
        two = numpy_helper.from_array(np.array(2, np.float32), f"{name}_two")
        node = helper.make_node(op, ["x", f"{name}_two"], [f"{name}_y"])
        result = helper.make_tensor_value_info(f"{name}_y", TensorProto.FLOAT, [1, 4])
        return helper.make_graph([node], name, [], [result], [two])

    given = model([("Shape", "x", "s"), ("Equal", "s wanted", "c")], {"x": (1, 4)}, {"wanted": np.array([1, 4 if holds else 5])})
    branches = {"then_branch": branch("then", "Add"), "else_branch": branch("else", "Mul")}
    given.graph.node.append(helper.make_node("ReduceMin", ["i"], ["m"], keepdims=0))
    given.graph.node.insert(2, helper.make_node("Cast", ["c"], ["i"], to=TensorProto.INT64))
    given.graph.node.append(helper.make_node("Cast", ["m"], ["b"], to=TensorProto.BOOL))
    given.graph.node.append(helper.make_node("If", ["b"], ["y"], **branches))
    del given.graph.output[:]
    given.graph.output.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4]))
    onnx.checker.check_model(given)
    x = torch.randn(1, 4)
    assert torch.equal(ImportedNetwork(given)(x), x + 2 if holds else x * 2)


def test_attributes_that_mean_nothing_where_they_stand() -> None:
    """Some exporters write all attributes, whether they matter or not."""
    padded = model([("Conv", "x w", "y", {"auto_pad": "VALID", "pads": [1, 1, 1, 1]})], {"x": (1, 3, 6, 6)}, {"w": WEIGHTS})
    assert import_model(padded).types[import_model(padded).outputs[0]].shape == (1, 4, 4, 4)
    reduced = [("ReduceMean", "x", "y", {"axes": [2], "noop_with_empty_axes": 1})]
    assert len(import_model(model(reduced, {"x": (1, 3, 6, 6)}, {}, 17)).nodes) >= 1
    with pytest.raises(UnsupportedOperation, match="lowbit does not know what colour = 3 means here"):
        import_model(model([("Relu", "x", "y", {"colour": 3})], {"x": (1, 3)}, {}))
