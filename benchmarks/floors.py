"""Points lost by ``method="best"``, compiled, at the widths for which there are limits: ``make accuracy FLOORS=1``.

Needs LOWBIT_DATA.  Every finished figure is kept in benchmarks/results/floors.json; the next call goes on with those missing.
"""

from __future__ import annotations

import argparse
import re
import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.accuracy import PAGE, Grid, Network, names_of
from benchmarks.results_file import ROOT, Results, write_between

from lowbit.measure.machine import commit, machine, versions

RESULTS = ROOT / "benchmarks" / "results" / "floors.json"


@dataclass(frozen=True)
class Floors:
    """``limits``: configuration -> points that may be lost; None: measured without a limit."""

    network: str
    words: str
    batch: int
    limits: Mapping[str, float | None]


_CIFAR = {"w8a8": 0.3, "w6a6": 0.6, "w4a8": 0.8, "w4a4": 2.0, "w3a8": 2.5, "w2a8": 7.0}
FLOORS = (
    Floors("cifar10_resnet20", "ResNet-20", 50, _CIFAR),
    Floors("cifar10_resnet32", "ResNet-32", 50, _CIFAR),
    Floors("cifar10_resnet8_mlperftiny", "ResNet-8", 50, {"w4a4": 2.5}),
    Floors("imagenet_mobilenet_v1_075_224", "MobileNetV1", 10, {"w8a8": 1.0, "w6a6": 3.0, "w4a8": 4.0, "w4a4": 12.0}),
)


def missing(results: Results, networks: tuple[str, ...], configs: tuple[str, ...]) -> Iterator[tuple[Floors, str]]:
    for floors in FLOORS:
        for config in floors.limits:
            wanted = (not networks or floors.network in networks) and (not configs or config in configs)
            if wanted and not results.done(f"{floors.network} {config}"):
                yield floors, config


def run(networks: tuple[str, ...], configs: tuple[str, ...], threads: int | None, again: bool) -> None:
    results = Results(RESULTS)
    results.begin({"machine": machine(), "versions": versions(), "commit": commit()}, resume=not again)
    opened: Network | None = None
    for floors, config in list(missing(results, networks, configs)):
        if opened is None or opened.grid.network != floors.network:
            opened = Network(Grid(floors.network, floors.words, (), (), floors.batch), None)
        began = time.process_time()
        found, facts = opened.cell(config, "best", threads)
        part = {
            "images": found.count,
            "float": found.reference_top1,
            "top1": found.top1,
            "drop": -found.difference,
            "error": found.difference_error,
            "limit": floors.limits[config],
            "processor_seconds": round(time.process_time() - began, 1),
            **facts,
        }
        results.put(f"{floors.network} {config}", part)
        write_page()
        print(f"{floors.network} {config}: {100 * found.difference:+.2f} ± {100 * found.difference_error:.2f}", flush=True)


def table(parts: Mapping[str, Any]) -> str:
    """A row a configuration, in the order of FLOORS."""
    lines = ["| network | config | drop in points | at most | method kept | seconds | of which AdaRound | commit |"]
    lines.append("| --- | --- | ---: | ---: | --- | ---: | ---: | --- |")
    for floors in FLOORS:
        for config, limit in floors.limits.items():
            part = parts.get(f"{floors.network} {config}")
            if part is None:
                lines.append(f"| {floors.words} | {config.upper()} | - | {limit} | | | | |")
                continue
            summary, *again = [line for line in part["log"] if line.startswith("best: ")]
            kept = re.sub(r" \(.*|^best: ", "", summary) + (", on all rows" if again else "")
            ada = next((s for line in part["log"] if line.startswith("AdaRound") for s in re.findall(r"([\d.]+) s$", line)), "")
            drop = f"{100 * part['drop']:.2f} ± {100 * part['error']:.2f}"
            row = (floors.words, config.upper(), drop, limit, kept, f"{part['seconds']:.0f}", ada, part["commit"][:7])
            lines.append("| " + " | ".join(map(str, row)) + " |")
    return "\n".join(lines)


def write_page() -> None:
    write_between(PAGE, "floors", table(Results(RESULTS).parts))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", default="", help="comma-separated; default: all")
    parser.add_argument("--configs", default="", help="comma-separated; default: all")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--again", action="store_true", help="measure all anew")
    parser.add_argument("--page", action="store_true", help="only write docs/accuracy.md from what is measured")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    if not given.page:
        networks = names_of(parser, given.networks.lower(), [floors.network for floors in FLOORS])
        configs = names_of(parser, given.configs.lower(), sorted({config for floors in FLOORS for config in floors.limits}))
        run(networks, configs, given.threads, given.again)
    write_page()


if __name__ == "__main__":
    main()
