"""The verbs, end to end on a small network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import lowbit
from lowbit.cli.app import VERBS, app
from lowbit.graph.interpreter import interpret
from lowbit.version import __version__


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(a) for a in arguments])


def ok(*arguments: object) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return str(result.stdout)


def refused(*arguments: object) -> str:
    """The one line on standard error of a command that exits with 2."""
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    lines = [line for line in result.stderr.strip().splitlines() if not line.startswith("note: ")]
    assert len(lines) == 1, result.stderr
    assert "Traceback" not in lines[0]
    return str(lines[0])


def test_help_lists_the_verbs() -> None:
    text = ok("--help")
    assert all(verb in text for verb in VERBS)
    assert ok("--version").strip() == __version__


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb: str) -> None:
    assert "Usage" in ok(verb, "--help")


def test_compile_with_methods(tmp_path: Path) -> None:
    data, net = tmp_path / "c.npy", tmp_path / "net.lowbit"
    np.save(data, np.random.default_rng(0).normal(size=(40, 3, 8, 8)).astype(np.float32))
    arguments = ("compile", "tests.tiny:network", "--config", "w3a8", "--calibration", data, "-o", net)
    digests = {method: ok(*arguments, "--method", method).split()[-1] for method in ("nearest", "gptq", "gptq,batch_norm")}
    assert len(set(digests.values())) == 3
    assert "no method 'magic'; known: auto, best, nearest" in refused(*arguments, "--method", "magic")
    assert "seconds is what methods may take" in refused(*arguments, "--seconds", "0")


def test_compile_and_run(tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((12, 3, 8, 8), np.float32)
    np.savez(tmp_path / "images.npz", images=x)
    np.save(tmp_path / "x.npy", x[:1])
    net, y = tmp_path / "net.lowbit", tmp_path / "y.npy"
    data = tmp_path / "images.npz"
    ok("compile", "tests.tiny:network", "--weights", "i4", "--activations", "u8", "--calibration", data, "-o", net)
    ok("run", net, tmp_path / "x.npy", "-o", y, "--threads", 1)
    np.testing.assert_array_equal(np.load(y), interpret(lowbit.load(net).graph(), [x[:1]])[0])


def test_compile_says_when_ranges_come_from_random_inputs(tmp_path: Path) -> None:
    result = run("compile", "tests.tiny:network", "--config", "4/int8", "--layer", "body=i8/u8", "-o", tmp_path / "net.lowbit")
    assert result.exit_code == 0
    assert "no calibration data" in result.stderr
    assert result.stderr.count("no calibration data") == 1
    layers = lowbit.load(tmp_path / "net.lowbit").manifest["layers"]
    assert {e["name"]: e["weight"] for e in layers if e["weights"]}["body"] == "i8"


def test_a_module_alone_needs_a_shape(tmp_path: Path) -> None:
    assert "--input-shape" in refused("compile", "tests.tiny:module", "-o", tmp_path / "net.lowbit")
    ok("compile", "tests.tiny:module", "--input-shape", "2x3x8x8", "-o", tmp_path / "net.lowbit")
    assert lowbit.load(tmp_path / "net.lowbit").input_shapes == ((2, 3, 8, 8),)


def test_dump_writes_the_stages(tmp_path: Path) -> None:
    ok("compile", "tests.tiny:network", "-o", tmp_path / "net.lowbit", "--dump", tmp_path / "stages")
    assert any("import" in p.name for p in (tmp_path / "stages").iterdir())


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["tests.tiny:network", "--config", "3/int5"], "unknown configuration '3/int5'"),
        (["tests.tiny:network", "--weights", "i1"], "i1 would be"),
        (["tests.tiny:network", "--target", "vax"], "unknown target 'vax'; known targets: native, x86-64"),
        (["tests.tiny:network", "--layer", "nonsense"], "PATTERN=WEIGHTS/ACTIVATIONS"),
        (["tests.tiny:network", "--config", "8/int8", "--layer", "nose=i8"], "'nose' matches no layer"),
        (["tests.tiny:network", "--calibration", "missing.npz"], "missing.npz does not exist"),
        (["tests.tiny:nothing"], "has no 'nothing'"),
        (["no.such.module:f"], "cannot be imported"),
        (["resnet51"], "did you mean"),
    ],
)
def test_compile_refuses_in_one_line(arguments: list[str], text: str, tmp_path: Path) -> None:
    assert text in refused("compile", *arguments, "-o", tmp_path / "net.lowbit")
    assert not (tmp_path / "net.lowbit").exists()


def test_an_unsupported_operation_names_its_line(tmp_path: Path) -> None:
    line = refused("compile", "tests.tiny:broken", "-o", tmp_path / "net.lowbit")
    assert "UnsupportedOperation" in line
    assert "svd" in line
    assert "tiny.py:" in line


def _pictures(folder: Path) -> Path:
    """Images of several sizes, loose and in folders."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for number, place in enumerate(("a.png", "b.jpg", "deep/c.png", "deep/er/d.bmp")):
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (20 + number, 30, 3), np.uint8)).save(folder / place)
    return folder


def test_calibration_by_a_folder_of_images(tmp_path: Path) -> None:
    """The same network as by the arrays that these images become."""
    from lowbit.data import Dataset, Preprocessing, from_folder

    folder, net = _pictures(tmp_path / "images"), tmp_path / "net.lowbit"
    arguments = ("compile", "tests.tiny:network", "--config", "8/int8", "-o", net, "--method", "nearest")
    digests = []
    for options, prepare in (
        ((), Preprocessing(size=(8, 8))),
        (("--mean", "0.5", "--std", "0.25", "--resize", "12"), Preprocessing(255.0, (0.5,), (0.25,), (8, 8), 12)),
    ):
        result = run(*arguments, "--calibration", folder, *options)
        assert result.exit_code == 0, result.stderr
        assert ("say --mean and --std" in result.stderr) is not bool(options)
        by_folder = lowbit.load(net)
        data = Dataset(from_folder(folder, labelled=False), prepare)
        np.save(tmp_path / "c.npy", np.concatenate([batch.inputs[0] for batch in data.batches()]))
        ok(*arguments, "--calibration", tmp_path / "c.npy")
        assert lowbit.load(net).digest == by_folder.digest
        digests.append(by_folder.digest)
    assert digests[0] != digests[1]


def test_calibration_by_images_with_channels_last(tmp_path: Path) -> None:
    from lowbit.data import Dataset, Preprocessing, from_folder
    from tests.frontend.onnx.models import model

    path, net, folder = tmp_path / "last.onnx", tmp_path / "net.lowbit", _pictures(tmp_path / "images")
    kernel = np.random.default_rng(0).standard_normal((4, 3, 3, 3)).astype(np.float32)
    nodes = [("Transpose", "x", "t", {"perm": [0, 3, 1, 2]}), ("Conv", "t k", "y")]
    path.write_bytes(model(nodes, {"x": (1, 8, 10, 3)}, {"k": kernel}).SerializeToString())
    ok("compile", path, "--config", "8/int8", "--calibration", folder, "-o", net, "--method", "nearest")
    digest = lowbit.load(net).digest
    data = Dataset(from_folder(folder, labelled=False), Preprocessing(size=(8, 10), channels_last=True))
    np.save(tmp_path / "c.npy", np.concatenate([batch.inputs[0] for batch in data.batches()]))
    ok("compile", path, "--config", "8/int8", "--calibration", tmp_path / "c.npy", "-o", net, "--method", "nearest")
    assert lowbit.load(net).digest == digest


def test_calibration_that_is_no_images(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    np.save(tmp_path / "c.npy", np.zeros((4, 3, 8, 8), np.float32))
    arguments = ("compile", "tests.tiny:network", "--config", "8/int8", "-o", tmp_path / "net.lowbit")
    assert "has no images in its folders" in refused(*arguments, "--calibration", tmp_path / "empty")
    assert "are for images" in refused(*arguments, "--calibration", tmp_path / "c.npy", "--mean", "0.5")
    assert "give both" in refused(*arguments, "--mean", "0.5")
    assert "does not exist" in refused(*arguments, "--calibration", "no_such_folder")
    assert not (tmp_path / "net.lowbit").exists()


def test_calibration_of_the_wrong_shape(tmp_path: Path) -> None:
    np.save(tmp_path / "c.npy", np.zeros((4, 3, 9, 9), np.float32))
    line = refused(
        "compile", "tests.tiny:network", "--config", "8/int8", "--calibration", tmp_path / "c.npy", "-o", tmp_path / "net.lowbit"
    )
    assert line.startswith("CalibrationError")
    np.save(tmp_path / "c.npy", np.zeros((0, 3, 8, 8), np.float32))
    line = refused(
        "compile", "tests.tiny:network", "--config", "8/int8", "--calibration", tmp_path / "c.npy", "-o", tmp_path / "net.lowbit"
    )
    assert line.startswith("CalibrationError")


def test_unwritable_output_is_found_before_compiling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("compiled before the output was checked")

    monkeypatch.setattr("lowbit.compiler.compile", never)
    assert "cannot write" in refused("compile", "tests.tiny:network", "-o", tmp_path / "missing" / "net.lowbit")
    assert "cannot write" in refused("bench", "lenet5", "--json", tmp_path / "missing" / "a.json")


def test_export_writes_what_a_c_program_needs(artifacts: Mapping[str, Path], tmp_path: Path) -> None:
    ok("export", artifacts["4/int4"], "--library", tmp_path / "out")
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".so", ".a", ".h", ".weights", ".c", ".md"}


def test_run_refuses_wrong_inputs(artifacts: Mapping[str, Path], tmp_path: Path) -> None:
    net, x, y = artifacts["8/int8"], tmp_path / "x.npy", tmp_path / "y.npy"
    np.save(x, np.zeros((1, 3, 9, 9), np.float32))
    assert "expected shape (1, 3, 8, 8), got (1, 3, 9, 9)" in refused("run", net, x, "-o", y)
    np.save(x, np.zeros((1, 3, 8, 8)))
    assert "expected float32, got float64" in refused("run", net, x, "-o", y)
    assert "does not exist" in refused("run", net, tmp_path / "missing.npy", "-o", y)
    assert not y.exists()


def test_run_refuses_what_is_no_artifact(tmp_path: Path) -> None:
    (tmp_path / "a.lowbit").write_bytes(b"PK\x03\x04" + bytes(100))
    np.save(tmp_path / "x.npy", np.zeros(1, np.float32))
    line = refused("run", tmp_path / "a.lowbit", tmp_path / "x.npy", "-o", tmp_path / "y.npy")
    assert line.startswith("ArtifactError")


def test_inspect(artifacts: Mapping[str, Path]) -> None:
    text = ok("inspect", artifacts["4/int4"])
    for sign in ("body", "u4 x i4", "4.00", "multiply="):
        assert sign in text
    assert "stem" not in ok("inspect", artifacts["4/int4"], "--layer", "body")
    assert ok("inspect", artifacts["4/int4"], "--stage", "quantized").startswith("graph tiny")
    assert "unknown stage" in refused("inspect", artifacts["4/int4"], "--stage", "relay")


def test_verify(artifacts: Mapping[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    assert "verified size, container, values, integer, code" in ok("inspect", artifacts["4/int4"], "--verify")
    from lowbit.reporting import verify

    monkeypatch.setattr(verify, "verify", lambda compiled: [verify.Finding("body", "size", "too much")])
    result = run("inspect", artifacts["4/int4"], "--verify")
    assert result.exit_code == 1
    assert "FAILED body: size: too much" in result.stderr


def test_diff(artifacts: Mapping[str, Path]) -> None:
    assert "u8 x i8 -> u4 x i4" in ok("diff", artifacts["8/int8"], artifacts["4/int4"])
    text = ok("diff", artifacts["8/int8"], artifacts["4/int4"], "--stage", "program")
    assert text.startswith("--- ")
    assert ok("diff", artifacts["8/int8"], artifacts["8/int8"], "--stage", "program") == ""


def test_bench_writes_the_schema(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    text = ok("bench", "tests.tiny:network", "--configs", "fp32,8/int8", "--threads", 1, "--runs", 3, "--json", out)
    data = json.loads(out.read_text())
    assert [row["config"] for row in data["rows"]] == ["fp32", "8/int8"]
    assert (data["network"], data["batch"], data["threads"]) == ("tests.tiny:network", 1, 1)
    assert data["rows"][0]["exact"] is None
    assert data["rows"][1]["exact"] is True
    assert data["rows"][0]["speedup"] == 1.0
    assert "8/int8" in text


def test_bench_refuses_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("loaded a network before the plan was checked")

    monkeypatch.setattr("lowbit.zoo.building.load_network", never)
    assert "unknown configuration '5/int3'" in refused("bench", "lenet5", "--configs", "fp32,5/int3")
    assert "unknown peer 'tensorrt'" in refused("bench", "lenet5", "--peers", "tensorrt")
    assert "runs must be at least 1" in refused("bench", "lenet5", "--runs", 0)
    assert "given twice" in refused("bench", "lenet5", "--configs", "8/int8,8/int8")
    assert "no configuration" in refused("bench", "lenet5", "--configs", "")


def test_bench_refuses_an_unknown_network() -> None:
    assert "Known: " in refused("bench", "resnet51", "--configs", "fp32")


def test_eval_without_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOWBIT_DATA", raising=False)
    assert "set LOWBIT_DATA" in refused("eval", "cifar10_resnet20")
    assert "no pretrained network 'x'; known: cifar10_resnet8_mlperftiny" in refused("eval", "x")


@pytest.mark.data
def test_eval(data_root: Path, tmp_path: Path) -> None:
    out = tmp_path / "eval.json"
    ok(
        "eval",
        "cifar10_resnet8_mlperftiny",
        "--data",
        data_root,
        "--limit",
        130,
        "--calibration",
        60,
        "--method",
        "nearest",
        "--json",
        out,
    )
    (row,) = json.loads(out.read_text())["rows"]
    assert (row["images"], row["calibration_images"], row["config"]) == (130, 60, "8/int8")
    assert row["top1"] > 0.75
    assert row["agreement"] > 0.9


def test_eval_of_any_network(tmp_path: Path) -> None:
    from tests.evaluation.networks import marked

    labels = np.arange(120) * 5 % 6
    values = (next(marked(labels).batches(300)).inputs[0] * 255).astype(np.uint8)
    np.savez(tmp_path / "pixels.npz", images=values[:, 0], labels=labels)
    shared = (
        "eval",
        "tests.evaluation.networks:factory",
        "--data",
        tmp_path / "pixels.npz",
        "--configs",
        "8/int8,w4a8",
        "--method",
        "nearest",
    )
    out, page = tmp_path / "eval.json", tmp_path / "eval.html"
    ok(*shared, "--json", out, "--html", page, "--share", 0.25)
    eight, four = json.loads(out.read_text())["rows"]
    assert (eight["images"], eight["calibration_images"], eight["top1"], four["config"]) == (90, 30, 1.0, "w4a8")
    assert "most confused with" in page.read_text()
    assert "100.00 ± 0.00" in ok(*shared, "--scale", 255, "--mean", "0", "--std", "1", "--size", "4")
    assert "--mean 'a': write numbers joined by commas" in refused(*shared, "--mean", "a")
    assert "write a height and a width" in refused(*shared, "--size", "1x2x3")
    assert "are for 3 channels, the images have 1" in run(*shared, "--mean", "0,0,0").stderr
    assert "a share of 0.7 for calibration" in refused(*shared, "--share", "0.7")
    assert "for any other say its images: --data" in refused("eval", "tests.evaluation.networks:factory")


def test_eval_interrupted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What was measured before is shown and written."""
    from lowbit.evaluation import evaluate
    from tests.evaluation.networks import Marked, marked

    labels = np.arange(12) % 6
    network = marked(labels)
    partial = replace(evaluate(Marked(), network, reference=Marked()), complete=False, planned=40, facts={"config": "8/int8"})
    monkeypatch.setattr("lowbit.evaluation.run.run_eval", lambda *_: [partial])
    monkeypatch.setenv("LOWBIT_DATA", str(tmp_path))
    result = run("eval", "digits-cnn", "cifar10_resnet20", "--json", tmp_path / "a.json")
    assert result.exit_code == 130
    assert "12 of 40" in result.stdout
    assert "interrupted: the figures are of the images seen until then" in result.stderr
    (row,) = json.loads((tmp_path / "a.json").read_text())["rows"]
    assert (row["images"], row["planned"], row["complete"]) == (12, 40, False)


def test_targets_and_info() -> None:
    assert "x86-64-v3" in ok("targets")
    text = ok("info")
    assert "cpu features" in text
    assert "gcc" in text


def test_info_lists_operations() -> None:
    from lowbit.frontend.handlers.table import HANDLERS

    text = ok("info", "--operations")
    words = set(text.replace(",", " ").split())
    assert {name for name in HANDLERS if not name.startswith("_")} <= words
    assert "conv3d" in words


def test_interrupt_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("lowbit.compiler.compile", interrupt)
    result = run("compile", "tests.tiny:network", "-o", tmp_path / "net.lowbit")
    assert result.exit_code == 130
    assert "interrupted" in result.stderr
    assert "Traceback" not in result.output
    assert list(tmp_path.iterdir()) == []


def test_errors_of_the_system_are_one_line(artifacts: Mapping[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", "net.lowbit")

    monkeypatch.setattr("lowbit.runtime.load", full)
    assert refused("inspect", artifacts["8/int8"]) == "OSError: net.lowbit: No space left on device"


def test_expect(artifacts: Mapping[str, Path], tmp_path: Path) -> None:
    """The digest that verbs print is the one that verbs take."""
    net, x = artifacts["4/int4"], tmp_path / "x.npy"
    np.save(x, np.zeros((1, 3, 8, 8), np.float32))
    digest = lowbit.load(net).digest
    assert digest in ok("inspect", net)
    text = ok("info", net)
    assert digest in text
    assert "x 1x3x8x8" in text
    export = ("export", net, "--library", tmp_path / "library")
    for command in (("run", net, x, "-o", tmp_path / "y.npy"), ("info", net), ("inspect", net), export):
        ok(*command, "--expect", digest)
        assert "is not the file that was expected" in refused(*command, "--expect", "0" * 64)
        assert "64 hexadecimal digits" in refused(*command, "--expect", "0")
