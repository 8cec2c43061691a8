"""Measured rounding errors in words: which layers will be poor, why, and what would help."""

from __future__ import annotations

import numpy as np

from lowbit.graph import Graph
from lowbit.graph.ops import LAYERS
from lowbit.measure.noise import LayerNoise, Noise
from lowbit.numerics import QType

__all__ = ["noise_notes", "padding_notes", "sample_notes"]

_POOR, _LEAST = 21.5, 4.0
"""dB of a layer's own error below which it is poor: at 8 bits and more (healthy layers have 23 and more, mostly 30 to 45), and
at whatever width.  A bit less costs 6 dB."""
_POOR_OUTPUT, _NARROW = 8.0, 7
"""dB of an output of a network with values or weights of fewer than so many bits."""
_SHARE = 6.0
"""dB: an own error of a quarter of all the error that there is."""
_NAMED = 3


def noise_notes(noise: Noise, graph: Graph) -> list[str]:
    """One sentence for the layers whose rounding loses much of their signal, one for outputs that are mostly error.

    ``graph``: the float graph.  Empty where all is well."""
    found = _roots(noise)
    notes = []
    if found:
        more = f"; and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        notes.append(
            "rounding loses much of the signal (signal-to-noise ratio of a layer by its own rounding; 30 to 45 dB are usual at 8 "
            "bits): " + "; ".join(_sentence(layer, graph) for layer in found[:_NAMED]) + more
        )
    narrow = min((_bits(layer) for layer in noise.layers if layer.widths), default=16) < _NARROW
    poor = {name: db for name, db in noise.outputs.items() if db < _POOR_OUTPUT}
    if narrow and poor and not found:
        name, db = min(poor.items(), key=lambda item: item[1])
        worst = sorted((layer for layer in noise.layers if layer.op in LAYERS), key=lambda layer: layer.own_db)[:_NAMED]
        named = ", ".join(f"{layer.name!r} ({layer.own_db:.0f} dB)" for layer in worst)
        advice = "give the network more bits"  # of a network without layers
        if worst:
            advice = (
                f"the layers with the most error of their own are {named}: give them more bits "
                f'(layers={{"{worst[0].name}": "i8/u8"}}), or all of them, or another method'
            )
        what = f"output {name!r} has a signal-to-noise ratio of {db:.0f} dB: at these widths it is mostly rounding error"
        notes.append(f"{what}; {advice}")
    return notes


def sample_notes(samples: tuple[np.ndarray, ...]) -> list[str]:
    """Calibration rows that are all the same."""
    if not samples or len(samples[0]) < 2 or any((value != value[:1]).any() for value in samples):
        return []
    return [f"all {len(samples[0])} calibration samples are the same; check what the loader yields"]


def padding_notes(integer: Graph) -> list[str]:
    """Convolutions that pad an input of type b1, whose values are -s and +s: the zeros around it become +s."""
    names = [
        node.name
        for node in integer.nodes
        if node.op == "conv2d" and any(np.ravel(node.attrs["padding"])) and _bipolar(integer, node.inputs[0])
    ]
    if not names:
        return []
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return [
        f"{', '.join(map(repr, names[:_NAMED]))}{more}: padded with 0, which b1 (-1, +1) does not have, so that the border "
        f'is +1; give the input 2 bits (layers={{"{names[0]}": "/u2"}}), or let it be positive (a ReLU: u1 has 0)'
    ]


def _bipolar(graph: Graph, name: str) -> bool:
    params = graph.types[name].quant
    return params is not None and params.qtype.bipolar


def _bits(layer: LayerNoise) -> int:
    return min((QType.parse(text).bits for text in layer.widths.values() if text != "f32"), default=16)


def _limit(layer: LayerNoise) -> float:
    return max(_LEAST, _POOR - 6.02 * max(0, 8 - _bits(layer)))


def _poor(layer: LayerNoise) -> bool:
    """Its own error is large, and not small beside what came in (methods that learn make up for that, which costs here)."""
    return bool(layer.causes) and layer.own_db < min(_limit(layer), layer.sqnr_db + _SHARE)


def _roots(noise: Noise) -> list[LayerNoise]:
    """The poor layers, the worst first; instead of one that only passes on what another one lost, the other one."""
    layers = {layer.name: layer for layer in noise.layers}
    roots: dict[str, LayerNoise] = {}
    for layer in noise.layers:
        if not _poor(layer):
            continue
        root = layer
        while (cause := layers.get(_cause(root))) is not None and cause.causes and cause.own_db < root.own_db + 3:
            root = cause
        roots[root.name] = root
    return sorted(roots.values(), key=lambda layer: layer.own_db)


def _cause(layer: LayerNoise) -> str:
    """What of it is rounded worst."""
    return min(layer.causes, key=lambda name: layer.causes[name])


def _sentence(layer: LayerNoise, graph: Graph) -> str:
    """Where, how bad, why, and a plan that gives more bits to everything that is too coarse for it."""
    node, limit = graph.node(layer.name), max(layer.own_db + 3, _limit(layer))
    causes = [name for name, db in sorted(layer.causes.items(), key=lambda item: item[1]) if db < limit]
    where = f" [{node.source}]" if node.source else ""
    why: list[str] = []
    plan: dict[str, str] = {}
    for cause in causes:
        width = layer.widths[cause]
        wider = "i16" if width == "f32" or QType.parse(width).bits >= _NARROW else "i8"
        if cause == "weights":
            why.append(f"its weights are {width}")
            plan[layer.name] = wider + plan.get(layer.name, "")
            continue
        value = layer.name if cause == "output" else cause
        why.append(
            "its output is " + width
            if cause == "output"
            else f"it reads {value!r}, of which it needs the small values, as {width}"
        )
        for reader in _layers_behind(value, graph):
            plan[reader] = plan.get(reader, "").partition("/")[0] + ("/i16" if wider == "i16" else "/u8")
    said = f"{layer.name!r} ({layer.op}{where}) {layer.own_db:.0f} dB: {' and '.join(why)}"
    if not plan:
        return f'{said}; activations="i16" helps, or an output of its own for each range'
    texts = ", ".join(f'"{name}": "{types}"' for name, types in plan.items())
    finer = ', or granularity="per_channel", or method="adaround"' if "weights" in causes else ""
    return f"{said}; layers={{{texts}}} gives more bits{finer}"


def _layers_behind(value: str, graph: Graph) -> list[str]:
    """Layers that read the value, directly or through operations that are no layers, in order."""
    reached, found = {value}, []
    for node in graph.nodes:
        if any(name in reached for name in node.inputs):
            if node.op in LAYERS:
                found.append(node.name)
            else:
                reached.add(node.name)
    return found
