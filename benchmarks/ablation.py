"""What each technique gives: a network with all of them, without each one, and without any.

    python -m benchmarks.ablation [--network resnet50] [--configs fp32,w8a8,...] [--threads 1]

Part of `make bench`, which keeps the figures; alone it prints the table only.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from benchmarks.groups import Prepared, runs_within
from benchmarks.page import ablation_text

from lowbit.compiler import compile as compile_network
from lowbit.kernels.conv2d.forms import FORMS
from lowbit.measure.latency import measure_latency
from lowbit.measure.load import Load
from lowbit.reporting.ratios import FLOAT_BOUND
from lowbit.targets import TECHNIQUES, find_target

__all__ = ["CONFIGS", "ablate", "techniques_of", "variants"]

CONFIGS = ("fp32", "w8a8", "w7a7", "w4a4", "2/int2", "1/int1")
SECONDS = 5.0  # of timed runs a configuration


def variants() -> dict[str, frozenset[str]]:
    """Name of a column -> the techniques it does without."""
    alone = {name: frozenset({name}) for name in TECHNIQUES}
    return {"": frozenset(), **alone, "everything": frozenset(TECHNIQUES)}


def ablate(
    prepared: Prepared,
    configs: Sequence[str] = CONFIGS,
    threads: int = 1,
    *,
    seconds: float = SECONDS,
    most_runs: int = 30,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Every configuration in every variant whose kernels differ from those of the full compiler; plain data for JSON.

    ``right`` of a variant: its integers are the oracle's and, on all checked images, those of the full compiler; float32
    stays within FLOAT_BOUND of the float64 network.  No measured decision is used: the cost model chooses all kernels.
    """
    start = time.perf_counter()
    rows = []
    for config in configs:
        rows.append(_row(prepared, config, threads, seconds, most_runs))
        say(f"  {config}: {sum(variant is not None for variant in rows[-1]['without'].values())} variants")
    return {
        "network": prepared.network,
        "threads": threads,
        "target": find_target().name,
        "load_before": max(row["load_before"] for row in rows),
        "other_cores": max((row["other_cores"] for row in rows if row["other_cores"] is not None), default=None),
        "seconds": time.perf_counter() - start,
        "rows": rows,
    }


def _row(prepared: Prepared, config: str, threads: int, seconds: float, most_runs: int) -> dict[str, Any]:
    graph, answers = prepared.graph_of(config, 1), prepared.answers(config)
    native = find_target()
    networks: dict[tuple[str, ...], Any] = {}  # kernels -> network
    kernels: dict[str, tuple[str, ...]] = {}
    used: frozenset[str] = frozenset()
    for name, without in variants().items():
        if without and not without & used:  # options that were not chosen: the choice stays
            kernels[name] = kernels[""]
            continue
        network = compile_network(
            graph, target=replace(native, without=without), threads=threads, name=prepared.network, tuning=False
        )
        kernels[name] = tuple(layer["kernel"] for layer in network.manifest["layers"])
        used = used or techniques_of(network.manifest["layers"])
        if kernels[name] in networks:
            network.close()
        else:
            networks[kernels[name]] = network
    outputs = {key: [np.array(network(x)) for x in prepared.inputs] for key, network in networks.items()}
    right = {key: _right(prepared, mine, outputs[kernels[""]], answers.oracle) for key, mine in outputs.items()}
    x = prepared.inputs[0]
    calls = {str(index): partial(network, x) for index, network in enumerate(networks.values())}
    runs = runs_within(calls, seconds, most_runs)
    load = Load.start()
    latencies = measure_latency(calls, runs, warmup=1, rounds=3)
    busy = load.stop()
    median = {key: latencies[str(index)].median_ms for index, key in enumerate(networks)}
    for network in networks.values():
        network.close()

    def figures(name: str) -> dict[str, Any] | None:
        if name and kernels[name] == kernels[""]:
            return None
        return {"median_ms": median[kernels[name]], "right": right[kernels[name]]}

    full = figures("")
    assert full is not None
    check = "exact" if answers.oracle is not None else f"within {FLOAT_BOUND:.0e}"
    return {"config": config, **full, "check": check, **busy, "without": {name: figures(name) for name in variants() if name}}


def techniques_of(layers: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """What the kernels of a manifest's layers use, names in TECHNIQUES."""
    specs = [layer["spec"] for layer in layers]
    forms = [FORMS[spec["form"]].techniques for spec in specs if spec.get("form") in FORMS]
    return frozenset({"winograd"} if any(spec["kind"] == "winograd" for spec in specs) else ()).union(*forms)


def _right(
    prepared: Prepared, outputs: Sequence[np.ndarray], full: Sequence[np.ndarray], oracle: Sequence[np.ndarray] | None
) -> bool:
    if oracle is not None:
        same = all(np.array_equal(a, b) for a, b in zip(outputs, full, strict=True))
        return same and all(np.array_equal(a, b) for a, b in zip(outputs, oracle, strict=False))
    largest = max(np.abs(want).max() for want in prepared.reference)
    return all(np.abs(a - want).max() <= FLOAT_BOUND * largest for a, want in zip(outputs, prepared.reference, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="resnet50")
    parser.add_argument("--configs", default=",".join(CONFIGS))
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    print(ablation_text(ablate(Prepared(options.network), options.configs.split(","), options.threads, say=print)))


if __name__ == "__main__":
    main()
