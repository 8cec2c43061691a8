"""What becomes an address when a network is opened or run: tables that are part of the library.

Windows of pools, strides and extents of copies, first channels of grouped convolutions, which steps of a convolution
are split and where their activations lie, in which order weights lie.  Whoever can alter a weight file alters numbers; where
kernels read and write follows from the library alone (decision 14).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lowbit.lowering.program import Program, Weights

__all__ = ["LAYER_TABLES", "AddressTables", "address_tables"]

LAYER_TABLES = ("window_start", "split", "offsets", "shuffle")  # of a layer's Packing
_ALIGNMENT = 64


@dataclass(frozen=True)
class AddressTables:
    """``data``: ``Program.tables``, then the tables of each layer, every one on a multiple of 64 bytes; a multiple of 4
    long.  ``layers``: for each of ``Program.weights`` the offset of its tables, by name, without those it lacks."""

    data: bytes
    layers: tuple[dict[str, int], ...]


def _bytes(weights: Weights, name: str) -> bytes | None:
    values = getattr(weights.packing, name)
    if values is None:
        return None
    if name == "split":
        return np.packbits(values, bitorder="little").tobytes()
    return np.ascontiguousarray(values, "<i4").tobytes()


def address_tables(program: Program) -> AddressTables:
    """All of ``program``'s."""
    data = bytearray(program.tables)
    layers: list[dict[str, int]] = []
    for weights in program.weights:
        places: dict[str, int] = {}
        for name in LAYER_TABLES:
            table = _bytes(weights, name)
            if table is not None:
                data += bytes(-len(data) % _ALIGNMENT)
                places[name] = len(data)
                data += table
        layers.append(places)
    data += bytes(-len(data) % 4)
    return AddressTables(bytes(data), tuple(layers))
