"""The verb that looks at every layer of a network."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lowbit.analysis.report import AnalysisReport, Change, LayerAnalysis
from lowbit.analysis.sensitivity import Probe, change, networks, probes, sensitivities
from lowbit.analysis.spreads import activation_spread, weight_spread
from lowbit.analysis.tensors import Compared, compare_tensors
from lowbit.chosen_config import chosen_config
from lowbit.compiler import compile as compile_network
from lowbit.data import as_dataset
from lowbit.errors import ConfigError
from lowbit.evaluation.networks import CompiledRunner
from lowbit.fake import FakeQuantized
from lowbit.files import check_writable, write_whole
from lowbit.graph import Graph
from lowbit.graph.ops import LAYERS
from lowbit.graph.serialize import to_dict
from lowbit.numerics import QType
from lowbit.progress import stage
from lowbit.quantization import Calibration, QuantizationConfig, quantize_graph
from lowbit.quantization.statistics import layer_statistics
from lowbit.quantizer import calibrate
from lowbit.tracer import float_graph

__all__ = ["analyze"]

_BATCH, _CHECKED = 32, 8
_BITS = (8, 6, 4, 3, 2)


def analyze(
    model: Any,
    example_inputs: Any = None,
    *,
    calibration: Iterable[Any] | Calibration,
    dataset: Any = None,
    weights: str | QType | None = None,
    activations: str | QType | None = None,
    config: QuantizationConfig | str | None = None,
    bits: Sequence[int] = _BITS,
    rows: int = 128,
    name: str | None = None,
    state: str | Path | None = None,
    progress: bool | None = None,
    **options: Any,
) -> AnalysisReport:
    """How much each layer of a network suffers at each width, and where the compiled network departs from the float one.

    ``dataset``: samples to look at, labelled (lowbit.data.as_dataset) or not; default: those that ``calibration`` kept or is
    made of.  ``rows``: how many of them.  ``bits``: widths of weights and activations at which single layers are rounded; they
    are those of lowbit.fake_quantize, on the integer semantics of the kernels.  ``config`` (or weights, activations, options):
    precision of the compiled network whose tensors are compared, 8/int8 by default; some of its outputs are computed by the
    generated kernels and compared with those whose tensors are shown.
    ``state``: file that keeps what is measured; a later call goes on from there.  Interrupted (Ctrl-C), the report holds what
    was measured by then.

    Raises ConfigError for widths that no integers have, or no rows; and what compiling raises.
    """
    graph = float_graph(model, example_inputs, name)
    if graph.is_integer:
        raise ConfigError(f"{graph.name} is an integer graph; give the float network, which it is compared with")
    for width in bits:
        QType(width, True, bipolar=width == 1)
    given = config if config is not None or weights is not None or activations is not None else "8/int8"
    chosen = chosen_config(given, weights, activations, None, options if not isinstance(given, str) else {})
    if chosen is None:
        raise ConfigError("config fp32: a float network has nothing to analyze")
    path = None if state is None else Path(state)
    if path is not None:
        check_writable(path)
    samples = calibration if isinstance(calibration, Calibration) else list(calibration)
    batches, labels, data = _rows(graph, samples if dataset is None else dataset, rows)
    held = samples if isinstance(samples, Calibration) else calibrate(graph, samples=samples, progress=progress)

    integer = quantize_graph(graph, held, chosen)
    compared = compare_tensors(graph, integer, batches)
    runner = CompiledRunner(compile_network(integer, progress=progress))
    few = runner([value[:_CHECKED].numpy() for value in batches[0]])
    made, notes = networks(graph, held, chosen, bits)
    found, complete = _measure(graph, made, batches, compared, labels, path, progress)
    layers = _layers(graph, integer, made, held, compared, found)
    return AnalysisReport(
        graph.name,
        str(config) if config is not None else f"{chosen.weights}/{chosen.activations}",
        len(compared.outputs),
        data,
        tuple(made),
        None if labels is None else float(np.mean(compared.floats.argmax(-1) == labels)),
        change(compared.floats, compared.outputs, labels),
        np.array_equal(few, compared.outputs[: len(few)]),
        _ranked(layers),
        compared.tensors,
        complete,
        tuple(notes),
    )


def _rows(graph: Graph, samples: Any, rows: int) -> tuple[list[list[Tensor]], np.ndarray | None, str]:
    """The first rows as batches, labels where there are any, and words for them."""
    if rows < 1:
        raise ConfigError(f"rows {rows}; at least one is needed")
    if isinstance(samples, Calibration):
        kept = getattr(samples, "samples", None)
        if not kept:
            raise ConfigError("this calibration kept no samples; give dataset=, samples to look at")
        parts, labels, data = [np.asarray(value)[:rows] for value in kept], None, "rows of the calibration"
    elif isinstance(samples, list):
        from lowbit.quantization.samples import batches as gathered

        taken: list[list[np.ndarray]] = []
        for inputs, real in gathered(graph, samples, 1):
            taken += [inputs] if real else []
            if len(taken) >= rows:
                break
        if not taken:
            raise ConfigError("no samples to look at")
        parts, labels, data = [np.concatenate(values) for values in zip(*taken, strict=True)], None, "calibration samples"
    else:
        read = as_dataset(samples).take(rows)
        seen = list(read.batches(_BATCH))
        parts = [np.concatenate(values) for values in zip(*(batch.inputs for batch in seen), strict=True)]
        labels, data = np.concatenate([batch.labels for batch in seen]), read.description
    count = len(parts[0])
    tensors = [torch.from_numpy(np.ascontiguousarray(value, np.float32)) for value in parts]
    step = min(_BATCH, count)
    whole = count // step * step  # batches of one size: each is one graph
    return (
        [[value[i : i + step] for value in tensors] for i in range(0, whole, step)],
        None if labels is None else labels[:whole],
        data,
    )


def _measure(
    graph: Graph,
    made: dict[int, FakeQuantized],
    batches: Sequence[Sequence[Tensor]],
    compared: Compared,
    labels: np.ndarray | None,
    path: Path | None,
    progress: bool | None,
) -> tuple[dict[Probe, Change], bool]:
    """All probes; False where it was interrupted."""
    wanted = probes(graph, list(made))
    key = _key(graph, made, batches)
    found = {} if path is None else _load(path, key)
    left = [probe for probe in wanted if probe not in found]
    try:
        with stage("sensitivity", len(left), progress) as advance:
            for probe, result in sensitivities(made, left, batches, compared.floats, labels, lambda text: advance(1, text)):
                found[probe] = result
    except KeyboardInterrupt:
        return found, False
    finally:
        if path is not None:
            entries = [[*probe, asdict(result)] for probe, result in found.items()]
            write_whole(path, json.dumps({"key": key, "probes": entries}).encode())
    return found, True


def _key(graph: Graph, made: Mapping[int, FakeQuantized], batches: Sequence[Sequence[Tensor]]) -> str:
    digest = blake2b(digest_size=16)
    text, arrays = to_dict(graph)
    digest.update(json.dumps(text, sort_keys=True, default=str).encode())
    for array in arrays.values():
        digest.update(np.ascontiguousarray(array).tobytes())
    for network in made.values():
        for quantizer in network.quantizers.values():
            digest.update(str(quantizer.params).encode())
    for batch in batches:
        for value in batch:
            digest.update(value.numpy().tobytes())
    return digest.hexdigest()


def _load(path: Path, key: str) -> dict[Probe, Change]:
    if not path.exists():
        return {}
    try:
        held = json.loads(path.read_text())
        if held["key"] != key:
            raise ConfigError(f"{path} holds another analysis (network, samples or precision changed); remove it to start anew")
        return {(int(width), layer, bool(alone)): Change(**fields) for width, layer, alone, fields in held["probes"]}
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"{path} is no state of an analysis: {error}; remove it to start anew") from error


def _layers(
    graph: Graph,
    integer: Graph,
    made: Mapping[int, FakeQuantized],
    held: Calibration,
    compared: Compared,
    found: Mapping[Probe, Change],
) -> list[LayerAnalysis]:
    statistics = {entry.name: entry for entry in layer_statistics(graph)}
    snr = {tensor.name: tensor.snr for tensor in compared.tensors}
    layers = []
    for node in graph.nodes:
        if node.op not in LAYERS:
            continue
        name, entry, running = node.name, statistics[node.name], integer.node(node.name)
        weights = {bits: network.quantizer(f"{name}.weight").params for bits, network in made.items()}
        inputs = {
            bits: network.quantizers_of(name)[1].params for bits, network in made.items() if len(network.quantizers_of(name)) > 1
        }
        root = next(
            (network.quantizers_of(name)[1].name for network in made.values() if len(network.quantizers_of(name)) > 1), None
        )
        types = tuple(
            str(quant.qtype) if (quant := integer.types[value].quant) else "f32"
            for value in (running.inputs[1], running.inputs[0])
        )
        layers.append(
            LayerAnalysis(
                name,
                node.op,
                node.source,
                tuple(graph.types[node.inputs[1]].shape),
                tuple(graph.types[name].shape),
                entry.parameters,
                entry.macs,
                graph.types[node.inputs[1]].shape[0],
                weight_spread(graph.constants[node.inputs[1]], weights),
                None if root is None else activation_spread(held.histograms[root], inputs),
                {bits: found[bits, name, True] for bits in made if (bits, name, True) in found},
                {bits: found[bits, name, False] for bits in made if (bits, name, False) in found},
                (types[0], types[1]),
                snr.get(name),
                compared.dead[name],
            )
        )
    return layers


def _ranked(layers: Sequence[LayerAnalysis]) -> tuple[LayerAnalysis, ...]:
    """Most noise first: the mean over widths of the outputs' signal to noise, in dB."""
    from dataclasses import replace

    def noise(layer: LayerAnalysis) -> float:
        heard = [result.snr for result in layer.alone.values()]
        return sum(math.inf if snr is None else snr for snr in heard) / len(heard) if heard else math.inf

    order = {layer.name: index + 1 for index, layer in enumerate(sorted(layers, key=noise))}
    return tuple(replace(layer, rank=order[layer.name]) for layer in layers)
