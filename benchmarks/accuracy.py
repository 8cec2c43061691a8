"""Accuracy of compiled networks over a grid of widths, rounding to nearest beside the best method: ``make accuracy``.

Needs LOWBIT_DATA.  Every finished cell is kept; the next call goes on with those that are missing.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.results_file import ROOT, Results, write_between

from lowbit.errors import LowbitError
from lowbit.measure.accuracy import Agreement, agreement
from lowbit.measure.machine import commit, machine, versions

RESULTS = ROOT / "benchmarks" / "results" / "accuracy.json"
FLOORS = ROOT / "benchmarks" / "results" / "floors.json"
"""Of benchmarks/floors.py, which measures some cells of the best method in the same way."""
PAGE = ROOT / "docs" / "accuracy.md"
IMAGES = ROOT / "docs" / "images"
METHODS = ("nearest", "best")
WIDTHS, ACTIVATIONS = (16, 8, 6, 4, 3, 2, 1), (16, 8, 6, 4, 2, 1)


@dataclass(frozen=True)
class Grid:
    """``batch``: images a run of the compiled network."""

    network: str
    words: str
    weights: Sequence[int]
    activations: Sequence[int]
    batch: int


GRIDS = (
    Grid("cifar10_resnet20", "ResNet-20, CIFAR-10", WIDTHS, ACTIVATIONS, 50),
    Grid("cifar10_resnet8_mlperftiny", "ResNet-8 (MLPerf Tiny), CIFAR-10", WIDTHS, ACTIVATIONS, 50),
    Grid("imagenet_mobilenet_v1_075_224", "MobileNetV1 0.75, ImageNet", (16, 8, 6, 4), (16, 8, 6, 4), 10),
)


class Network:
    """A pretrained network traced, calibrated and run in float once, for all cells."""

    def __init__(self, grid: Grid, images: int | None) -> None:
        import torch

        import lowbit
        from lowbit.zoo import dataset
        from lowbit.zoo.pretrained import load_pretrained

        self.grid = grid
        self.model, _ = load_pretrained(grid.network)
        data = dataset(grid.network, "eval").take(images)
        batches = list(data.batches(grid.batch))
        self.inputs, self.labels = [batch.inputs[0] for batch in batches], np.concatenate([batch.labels for batch in batches])
        with torch.inference_mode():
            self.reference = np.concatenate([self.model(torch.from_numpy(x)).numpy() for x in self.inputs])
        self.graph = lowbit.trace(self.model, torch.from_numpy(self.inputs[0]), name=grid.network)
        self.calibration = lowbit.calibrate(self.graph, samples=dataset(grid.network, "calib"), progress=True)

    def cell(self, config: str, method: str, threads: int | None) -> tuple[Agreement, dict[str, Any]]:
        """Top-1 of one configuration, compiled, and what the method says it did."""
        import lowbit
        from lowbit.evaluation.networks import CompiledRunner

        began = time.perf_counter()
        plan = lowbit.quantize(self.graph, calibration=self.calibration, config=config, method=method, progress=True)
        chosen = time.perf_counter()
        runner = CompiledRunner(lowbit.compile(self.graph, plan=plan, threads=threads))
        logits = np.concatenate([runner([x]) for x in self.inputs])
        facts = {"seconds": round(chosen - began, 1), "log": [str(step) for step in plan.log]}
        return agreement(logits, self.reference, self.labels), facts


def cells(methods: Sequence[str], networks: Sequence[str]) -> Iterator[tuple[Grid, str, int, int]]:
    """In the order that shows something early: all of a method, network by network, wide first."""
    for method in methods:
        for grid in GRIDS:
            if not networks or grid.network in networks:
                for weights, activations in sorted(product(grid.weights, grid.activations), key=lambda c: -min(c)):
                    yield grid, method, weights, activations


def run(methods: Sequence[str], networks: Sequence[str], images: int | None, threads: int | None, minutes: float | None) -> None:
    results, opened = Results(RESULTS), None
    results.begin({"machine": machine(), "versions": versions(), "commit": commit()}, resume=True)
    until = None if minutes is None else time.monotonic() + 60 * minutes
    limited = Results(FLOORS).parts if images is None else {}
    for grid, method, weights, activations in cells(methods, networks):
        config = f"w{weights}a{activations}"
        key = f"{grid.network} {config} {method}"
        if results.done(key):
            continue
        if method == "best" and (cell := limited.get(f"{grid.network} {config}")) is not None:
            results.put(key, cell)  # the same cell, measured there
            continue
        if until is not None and time.monotonic() > until:
            print("time is over; the next call goes on", flush=True)
            return
        if opened is None or opened.grid is not grid:
            opened = Network(grid, images)
        try:
            found, facts = opened.cell(config, method, threads)
        except LowbitError as error:
            results.put(key, {"refused": str(error)})
            print(f"{key}: {error}", flush=True)
            continue
        results.put(
            key,
            {
                "images": found.count,
                "float": found.reference_top1,
                "top1": found.top1,
                "drop": -found.difference,
                "error": found.difference_error,
                "agreement": found.same,
                **facts,
            },
        )
        print(f"{key}: {100 * found.top1:.2f} %, {100 * found.difference:+.2f} ± {100 * found.difference_error:.2f}", flush=True)


def table(parts: Mapping[str, Any], grid: Grid) -> str:
    """Top-1 by weights (rows) and activations (columns): nearest / best."""
    lines = ["| weights \\ activations | " + " | ".join(map(str, grid.activations)) + " |"]
    lines.append("| ---: |" + " ---: |" * len(grid.activations))
    for weights in grid.weights:
        row = []
        for activations in grid.activations:
            found = [parts.get(f"{grid.network} w{weights}a{activations} {method}") for method in METHODS]
            texts = ["-" if part is None or "top1" not in part else f"{100 * part['top1']:.1f}" for part in found]
            row.append(" / ".join(texts) if any(text != "-" for text in texts) else "-")
        lines.append(f"| {weights} | " + " | ".join(row) + " |")
    return "\n".join(lines)


def heat_map(parts: Mapping[str, Any], grid: Grid, path: Path) -> None:
    """Points lost, one panel a method."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 0.55 * len(grid.weights) + 1.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(METHODS), sharey=True)
    for panel, method in zip(axes, METHODS, strict=True):
        lost = np.full((len(grid.weights), len(grid.activations)), np.nan)
        for (i, weights), (j, activations) in product(enumerate(grid.weights), enumerate(grid.activations)):
            part = parts.get(f"{grid.network} w{weights}a{activations} {method}")
            if part is not None and "drop" in part:
                lost[i, j] = 100 * part["drop"]
        shown = panel.imshow(np.clip(lost, 0, 20), cmap="YlOrRd", vmin=0, vmax=20, aspect="auto")
        for i, j in np.ndindex(*lost.shape):
            if not np.isnan(lost[i, j]):
                dark = lost[i, j] > 12
                panel.text(j, i, f"{-lost[i, j]:+.1f}", ha="center", va="center", color="white" if dark else "black", fontsize=8)
        panel.set_xticks(range(len(grid.activations)), map(str, grid.activations))
        panel.set_yticks(range(len(grid.weights)), map(str, grid.weights))
        panel.set_xlabel("bits of activations")
        panel.set_title(method)
    axes[0].set_ylabel("bits of weights")
    figure.colorbar(shown, ax=list(axes), label="points lost (20 and more: darkest)")
    figure.suptitle(grid.words)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def write_page() -> None:
    parts, texts = Results(RESULTS).parts, []
    for grid in GRIDS:
        mine = {key: part for key, part in parts.items() if key.startswith(f"{grid.network} ") and "top1" in part}
        if not mine:
            continue
        one = next(iter(mine.values()))
        heat_map(parts, grid, IMAGES / f"accuracy-{grid.network}.png")
        texts.append(
            f"### {grid.words}\n\n"
            f"Top-1 in % of {one['images']:,} images, nearest / best method; float: {100 * one['float']:.2f}.\n\n"
            f"{table(parts, grid)}\n\n![points lost](images/accuracy-{grid.network}.png)"
        )
    write_between(PAGE, "grid", "\n\n".join(texts))


def names_of(parser: argparse.ArgumentParser, text: str, allowed: Sequence[str]) -> tuple[str, ...]:
    """The names in a text, between commas; an unknown one ends the program with those that are allowed."""
    names = tuple(name for name in text.split(",") if name)
    if unknown := set(names) - set(allowed):
        parser.error(f"no {', '.join(sorted(unknown))}; there are {', '.join(allowed)}")
    return names


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--networks", default="", help="comma-separated; default: all")
    parser.add_argument("--images", type=int, help="of the evaluation split; default: all")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--minutes", type=float, help="stop after the cell that is running then; the next call goes on")
    parser.add_argument("--page", action="store_true", help="only write docs/accuracy.md from what is measured")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    if not given.page:
        networks = names_of(parser, given.networks, [grid.network for grid in GRIDS])
        run(given.methods.split(","), networks, given.images, given.threads, given.minutes)
    write_page()


if __name__ == "__main__":
    main()
