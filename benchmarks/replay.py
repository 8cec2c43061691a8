"""Does a change of lowbit change anything it generates?  Digests of everything, before and after.

    python -m benchmarks.replay --out before.json.gz [--quick] [--jobs 2] [--networks ...] [--configs ...] [--targets ...]
    python -m benchmarks.replay --compare before.json.gz after.json.gz [--common]
    python -m benchmarks.replay --show "resnet50 8/int8 x86-64-v3 model" 7

Nine networks in eight configurations for every target, with the cost model's decisions and with the shipped ones: the
TensorIR of every kernel, the weights as they lie in weights.bin, the program as text, its calls, the C tables of the
network.  No kernel is compiled, nothing is run.  Rows are known by network, configuration, target, place in the program
and layer.  The same on every machine with the same versions of TVM, torch and numpy.

``--compare`` ends with status 1 where anything differs; ``--common`` takes only cells that both files have.  ``--show``
prints the TensorIR of one call: done before and after, a diff tells what changed.  Several networks, configurations or
targets are separated by commas.
"""

from __future__ import annotations

import argparse
import gzip
import json
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lowbit.errors import ConfigError, LowbitError
from lowbit.targets import TARGETS

__all__ = ["CONFIGS", "NETWORKS", "QUICK", "Selection", "compare", "digest_table", "read", "record", "write"]

NETWORKS = (
    "resnet50", "mobilenet_v2", "squeezenet1_1", "mobilenet_v1", "resnet18", "cifar_resnet20", "densenet_block", "lenet5",
    "mlp_jsc_bn",
)  # fmt: skip
"""Those that take longest first."""
CONFIGS = ("fp32", "16/int16", "8/int8", "w7a7", "w4a8", "4/int4", "2/int2", "1/int1")
_CALL = ("layer", "kernel", "tensorir", "arguments")  # columns of a call
_SHOWN = 10  # differences of each kind


@dataclass(frozen=True)
class Selection:
    """What is replayed."""

    networks: Sequence[str] = NETWORKS
    configs: Sequence[str] = CONFIGS
    targets: Sequence[str] = tuple(name for name, target in TARGETS.items() if target.machine != "cuda")


QUICK = Selection(
    ("squeezenet1_1", "cifar_resnet20", "lenet5", "mlp_jsc_bn"),
    targets=("x86-64-v3", "x86-64-v4-vnni", "x86-64-v4-vnni-popcnt", "raspberry-pi-5"),
)
"""Forty seconds of one core; its digests are in tests/golden."""


def _worker(network: str, configs: Sequence[str], targets: Sequence[str]) -> dict[str, Any]:
    import torch
    from benchmarks.replay_cells import cells_of

    torch.set_num_threads(1)
    return cells_of(network, configs, targets)


def record(selection: Selection, jobs: int = 1, say: Any = lambda _: None) -> dict[str, Any]:
    """All cells: key -> cell, in the order of the keys."""
    cells: dict[str, Any] = {}
    if jobs == 1:
        for network in selection.networks:
            cells |= _worker(network, selection.configs, selection.targets)
            say(network)
        return dict(sorted(cells.items()))
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        todo = {pool.submit(_worker, name, selection.configs, selection.targets): name for name in selection.networks}
        for done in as_completed(todo):
            cells |= done.result()
            say(todo[done])
    return dict(sorted(cells.items()))


def digest_table(cells: Mapping[str, Any]) -> str:
    """One line for each network, configuration and target: a digest of all its rows, whoever decides."""
    from benchmarks.replay_cells import digest

    joined: dict[str, list[object]] = {}
    for key, cell in cells.items():
        where, _, decider = key.rpartition(" ")
        joined.setdefault(where, []).append([decider, json.dumps(cell, sort_keys=True)])
    return "".join(f"{where} {digest(parts)}\n" for where, parts in joined.items())


def write(path: Path, cells: Mapping[str, Any]) -> None:
    """As JSON with where it comes from; compressed where the name ends with .gz."""
    from lowbit.measure.machine import commit, versions

    text = json.dumps({"commit": commit(), "versions": versions(), "cells": cells}, separators=(",", ":"))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode(), mtime=0) if path.suffix == ".gz" else text.encode())


def read(path: Path) -> dict[str, Any]:
    """What :func:`write` wrote.  Raises ConfigError."""
    try:
        data = path.read_bytes()
        found: dict[str, Any] = json.loads(gzip.decompress(data) if path.suffix == ".gz" else data)
        if not isinstance(found["cells"], dict):
            raise TypeError("no cells")
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        raise ConfigError(f"{path} is not the output of --out: {error}") from error
    return found


@dataclass(eq=False)
class Comparison:
    """``rows``: kind -> rows compared; ``differences``: kind -> where they differ."""

    rows: Counter[str] = field(default_factory=Counter)
    differences: dict[str, list[str]] = field(default_factory=dict)

    def add(self, kind: str, where: str, old: object, new: object) -> None:
        self.rows[kind] += 1
        if old != new:
            self.differences.setdefault(kind, []).append(where)

    def text(self) -> str:
        lines = []
        for kind, count in self.rows.items():
            found = self.differences.get(kind, [])
            lines.append(f"{kind}: {len(found)} of {count} differ" if found else f"{kind}: {count}, all the same")
            lines += [f"    {where}" for where in found[:_SHOWN]]
            lines += [f"    ... and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
        return "\n".join(lines)


def compare(old: Mapping[str, Any], new: Mapping[str, Any], common: bool = False) -> Comparison:
    """Cell by cell, row by row.  ``common``: cells that only one has are no difference."""
    result = Comparison()
    for key in sorted(old.keys() | new.keys()):
        if key not in old or key not in new:
            if not common:
                result.add("cells", f"{key}: only in the {'new' if key in new else 'old'} file", 0, 1)
            continue
        result.add("cells", key, 0, 0)
        a, b = old[key], new[key]
        for kind in ("program", "tables", "weights"):
            result.add(kind, key, a[kind], b[kind])
        _compare_layers(result, key, a["layers"], b["layers"])
        _compare_calls(result, key, a["calls"], b["calls"])
    return result


def _compare_layers(result: Comparison, key: str, old: Sequence[Sequence[str]], new: Sequence[Sequence[str]]) -> None:
    if [layer for layer, _ in old] != [layer for layer, _ in new]:
        result.add("layers", f"{key}: {len(old)} layers with weights became {len(new)}, or in another order", 0, 1)
        return
    for (layer, a), (_, b) in zip(old, new, strict=True):
        result.add("layers", f"{key}: weights of {layer}", a, b)


def _compare_calls(result: Comparison, key: str, old: Sequence[Sequence[str]], new: Sequence[Sequence[str]]) -> None:
    if [call[0] for call in old] != [call[0] for call in new]:
        result.add("calls", f"{key}: {len(old)} calls became {len(new)}, or of other layers", 0, 1)
        return
    for index, (a, b) in enumerate(zip(old, new, strict=True)):
        renamed = a[1] if a[1] == b[1] else f"{a[1]} -> {b[1]}"
        for column, kind in enumerate(_CALL[1:], 1):
            result.add(kind, f"{key}: call {index}, {a[0]}: {renamed}", a[column], b[column])


def show(cell: str, index: int) -> str:
    """The TensorIR of a call.  Raises ConfigError for a cell or a call that is not there."""
    from benchmarks.replay_cells import DECIDERS, integer_graphs, lowered, own_cache, tensorir

    parts = cell.split()
    if len(parts) != 4 or parts[2] not in TARGETS or parts[3] not in DECIDERS:
        raise ConfigError(f"no cell {cell!r}: write network, configuration, target and {' or '.join(DECIDERS)}")
    network, config, target, decider = parts
    ((_, graph),) = integer_graphs(network, [config])
    with own_cache():
        program = lowered(graph, TARGETS[target], decider)
    if not 0 <= index < len(program.calls):
        raise ConfigError(f"{cell} has calls 0 .. {len(program.calls) - 1}, no {index}")
    call = program.calls[index]
    return f"# {cell}: call {index}, {call.layer}: {call.spec.label}\n{tensorir(call.spec, TARGETS[target])}\n"


def _compare_files(old: Path, new: Path, common: bool) -> int:
    before, after = read(old), read(new)
    for name in sorted(before["versions"].keys() | after["versions"].keys()):
        a, b = before["versions"].get(name), after["versions"].get(name)
        if a != b:
            print(f"note: {name} was {a} and is {b}")
    result = compare(before["cells"], after["cells"], common)
    if not result.rows["cells"]:
        raise ConfigError(f"{old} and {new} have no cell in common")
    print(result.text())
    return 1 if result.differences else 0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    todo = parser.add_mutually_exclusive_group(required=True)
    todo.add_argument("--out", type=Path, metavar="FILE")
    todo.add_argument("--compare", type=Path, nargs=2, metavar=("OLD", "NEW"))
    todo.add_argument("--show", nargs=2, metavar=("CELL", "CALL"))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--common", action="store_true")
    parser.add_argument("--jobs", type=int, default=1)
    for name in ("networks", "configs", "targets"):
        parser.add_argument(f"--{name}")
    options = parser.parse_args(arguments)
    if options.compare:
        old, new = options.compare
        return _compare_files(old, new, options.common)
    if options.show:
        print(show(options.show[0], int(options.show[1])), end="")
        return 0
    base = QUICK if options.quick else Selection()
    selection = Selection(
        *(
            tuple(given.split(",")) if (given := getattr(options, name)) else getattr(base, name)
            for name in ("networks", "configs", "targets")
        )
    )
    if unknown := [name for name in selection.targets if name not in TARGETS]:
        raise ConfigError(f"no target {', '.join(unknown)}; known: {', '.join(TARGETS)}")
    start = time.perf_counter()
    cells = record(selection, options.jobs, lambda name: print(f"{time.perf_counter() - start:6.1f} s  {name}", flush=True))
    write(options.out, cells)
    kernels = {call[2] for cell in cells.values() for call in cell["calls"]}
    print(f"{len(cells)} cells, {sum(len(cell['calls']) for cell in cells.values())} calls, {len(kernels)} different kernels")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except LowbitError as error:
        sys.exit(f"{type(error).__name__}: {error}")
