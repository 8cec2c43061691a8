"""One step of one network of coverage.py, in a process of its own; prints one line of JSON."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from benchmarks.coverage_networks import NETWORKS, Given

import lowbit
from lowbit.errors import LowbitError, ToolMissing, UnsupportedOperation
from lowbit.graph import Graph

_ROWS = 4
_CALIBRATED, _JUDGED = 40, 6  # photographs, of trained networks
_SECONDS = 2.0
_CLOSE = 1e-3  # of the largest output


def main() -> None:
    name, step = sys.argv[1:]
    torch.manual_seed(0)
    given = NETWORKS[name]
    model, shape = given.make()
    try:
        rows = _CALIBRATED + _JUDGED if step == "trained" else _ROWS
        samples = _photographs(given, shape, rows) if given.images else torch.randn(rows, *shape[1:]).numpy()
        found = _STEPS.get(step, _compiled)(model, samples, step)
    except (LowbitError, RuntimeError, NotImplementedError) as error:
        found = {"error": str(error).splitlines()[0][:300]}
        if isinstance(error, UnsupportedOperation) or step == "import":
            found["missing"] = _missing(str(error))
    print(json.dumps(found))


def _missing(text: str) -> str:
    """The operation of a refusal: its first words."""
    return text.split(" in ")[0].splitlines()[0][:60]


def _photographs(given: Given, shape: tuple[int, ...], rows: int) -> np.ndarray:
    """Photographs of LOWBIT_DATA at this size, with lines of text where the network reads some."""
    from PIL import Image, ImageDraw, ImageFont

    from lowbit.zoo.pretrained import data_root

    root = data_root()
    if root is None:
        raise ToolMissing("trained networks are judged on photographs: set LOWBIT_DATA")
    files = sorted((root / "dev" / "imagenet224").glob("*.jpg"))[:rows]
    last = shape[3] == 3  # channels
    height, width = shape[1:3] if last else shape[2:]
    made = []
    for number, file in enumerate(files):
        image = Image.open(file).convert("RGB").resize((width, height))
        font, pen = ImageFont.load_default(min(32, height - 12)), ImageDraw.Draw(image)
        for line in range(height // 48 if given.text else 0):
            at = (8, 48 * line + 2)
            pen.rectangle((0, 48 * line, width, 48 * line + 44), fill=(245, 240, 230))
            pen.text(at, f"line {line} of page {number + 1}", fill=(20, 30, 40), font=font)
        pixels = (np.asarray(image, np.float32) / 255 - given.mean) / given.std
        made.append(pixels if last else pixels.transpose(2, 0, 1))
    return np.stack(made).astype(np.float32)


def _graph(model: Any, samples: np.ndarray) -> Graph:
    if isinstance(model, Path):
        return lowbit.trace(str(model), [(1, *samples.shape[1:])])
    return lowbit.trace(model, torch.from_numpy(samples[:1]))


def _imported(model: Any, samples: np.ndarray, step: str) -> dict[str, Any]:
    graph = _graph(model, samples)
    return {"operations": len(graph.nodes)}


def _wanted(model: Any, x: np.ndarray) -> list[np.ndarray]:
    """What the float network gives, by torch or onnxruntime."""
    if isinstance(model, Path):
        import onnxruntime

        session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
        return [np.asarray(value) for value in session.run(None, {session.get_inputs()[0].name: x})]
    with torch.no_grad():
        return [value.numpy() for value in _tensors(model(torch.from_numpy(x)))]


def _tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    if hasattr(value, "values"):
        value = list(value.values())
    return [each for part in value if part is not None for each in _tensors(part)] if isinstance(value, (list, tuple)) else []


def _compiled(model: Any, samples: np.ndarray, config: str) -> dict[str, Any]:
    from lowbit.graph.interpreter import interpret

    graph, x = _graph(model, samples), samples[:1]
    arguments: dict[str, Any] = {} if config == "fp32" else {"calibration": [samples], "method": "nearest"}
    began = time.monotonic()
    net = lowbit.compile(graph, config=config, threads=1, progress=False, **arguments)
    found: dict[str, Any] = {"compile_s": round(time.monotonic() - began, 1)}
    got = _arrays(net(x))
    exact = _wanted(model, x)
    if config == "fp32":
        off = [float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-30)) for a, b in zip(got, exact, strict=True)]
        found |= {"exact": max(off) <= _CLOSE, "difference": max(off)}
    else:
        oracle = interpret(net.graph(), [x])
        off = [float(np.abs(a.astype(np.float64) - b).max()) for a, b in zip(got, oracle, strict=True)]
        found |= {"exact": all(map(np.array_equal, got, oracle)), "difference": max(off)}
        signal = sum(float((b.astype(np.float64) ** 2).sum()) for b in exact)
        error = sum(float(((a.astype(np.float64) - b) ** 2).sum()) for a, b in zip(got, exact, strict=True))
        found["snr_db"] = round(10 * float(np.log10(max(signal, 1e-30) / max(error, 1e-30))), 2)
    found["ms"] = _in_turns({config: net}, x)[config]
    return found


def _arrays(value: Any) -> list[np.ndarray]:
    if hasattr(value, "values"):
        value = list(value.values())
    return [each for part in value for each in _arrays(part)] if isinstance(value, (list, tuple)) else [np.asarray(value)]


def _in_turns(runs: Mapping[str, Callable[[np.ndarray], Any]], x: np.ndarray) -> dict[str, float]:
    """Medians in ms, all timed one after the other, each behind a run of its own, round after round: at least five rounds,
    two seconds of them."""
    for run in runs.values():
        run(x)
    rounds: list[list[float]] = []
    end = time.perf_counter() + _SECONDS
    while len(rounds) < 5 or (time.perf_counter() < end and len(rounds) < 200):
        rounds.append([_time(run, x) for run in runs.values()])
    return {kind: round(1e3 * float(ms), 4) for kind, ms in zip(runs, np.median(rounds, 0), strict=True)}


def _time(run: Callable[[np.ndarray], Any], x: np.ndarray) -> float:
    """Seconds of the second of two runs."""
    run(x)
    began = time.perf_counter()
    run(x)
    return time.perf_counter() - began


def _beside(nets: Mapping[str, Any], path: Path, seen: np.ndarray, judged: np.ndarray) -> dict[str, Any]:
    """Compiled networks of a float ONNX file beside onnxruntime and what its static quantizer makes of it: times in turns, and
    decibels of each output on the judged rows."""
    floats = _session(path)
    name = floats.get_inputs()[0].name
    runs: dict[str, Any] = {kind: lambda x, net=net: _arrays(net(x)) for kind, net in nets.items()}
    runs["onnxruntime fp32"] = lambda x: floats.run(None, {name: x})
    found: dict[str, Any] = {}
    with TemporaryDirectory() as folder:
        try:
            peer = _session(_quantized(path, seen, name, Path(folder) / "int8.onnx"))
            runs["onnxruntime int8"] = lambda x: peer.run(None, {name: x})
        except Exception as error:
            found["onnxruntime int8"] = {"error": str(error).splitlines()[0][:200]}
        wanted = [runs["onnxruntime fp32"](x[None]) for x in judged]
        for kind, ms in _in_turns(runs, judged[:1]).items():
            found[kind] = {"ms": ms, "snr_db": _decibels(wanted, [runs[kind](x[None]) for x in judged])}
    return found


def _quantized(path: Path, seen: np.ndarray, name: str, to: Path) -> Path:
    from onnx import load

    from lowbit.measure.peers.onnx_models import quantize_int8

    channels = load(str(path), load_external_data=False).opset_import[0].version >= 13
    return quantize_int8(path, [row[None] for row in seen], to, name, channels)


def _peers(model: Any, samples: np.ndarray, step: str) -> dict[str, Any]:
    """A module beside onnxruntime.  Integers are rounded to nearest by ranges of few rows: for time alone."""
    from lowbit.measure.peers.onnx_models import export_float

    graph = _graph(model, samples)
    nets = {
        "fp32": lowbit.compile(graph, config="fp32", threads=1, progress=False),
        "int8": lowbit.compile(graph, config="8/int8", calibration=[samples], method="nearest", threads=1, progress=False),
    }
    with TemporaryDirectory() as folder:
        return _beside(nets, export_float(model, samples[:1], Path(folder) / "float32.onnx"), samples, samples[:1])


def _trained(model: Path, samples: np.ndarray, step: str) -> dict[str, Any]:
    """A trained network beside onnxruntime: calibrated on photographs, judged on others."""
    from lowbit.graph.interpreter import interpret

    seen, judged = samples[:_CALIBRATED], samples[_CALIBRATED:]
    shapes = [(1, *judged.shape[1:])]
    calibration = lowbit.calibrate(str(model), shapes, samples=seen)
    plan = lowbit.quantize(str(model), shapes, calibration=calibration, config="8/int8", progress=False)
    nets = {
        "fp32": lowbit.compile(str(model), shapes, config="fp32", threads=1, progress=False),
        "int8": lowbit.compile(str(model), shapes, plan=plan, threads=1, progress=False),
    }
    oracle = interpret(nets["int8"].graph(), [judged[:1]])
    exact = all(map(np.array_equal, _arrays(nets["int8"](judged[:1])), oracle))
    return {"log": [str(line) for line in plan.log], "exact": exact, **_beside(nets, model, seen, judged)}


def _decibels(wanted: list[list[np.ndarray]], got: list[list[np.ndarray]]) -> list[float]:
    """Of each output, over all rows."""
    found = []
    for a, b in zip(zip(*wanted, strict=True), zip(*got, strict=True), strict=True):
        x, y = (np.stack(each).astype(np.float64) for each in (a, b))
        found.append(round(10 * float(np.log10(max((x**2).sum(), 1e-30) / max(((x - y) ** 2).sum(), 1e-30))), 1))
    return found


def _session(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


_STEPS = {"import": _imported, "peers": _peers, "trained": _trained}


if __name__ == "__main__":
    main()
