"""Does time grow with the work?  Batches and image sizes of one network against their multiplications.

    python benchmarks/scaling.py [--network resnet18] [--configs fp32,8/int8] [--threads 2] [--runs 4]
                                 [--batches 1,4,32] [--sizes 64,128,224,320,512] [--full]

Seven shapes; ``--full`` measures thirteen, twice as often.
Fits  ms = fixed + GMAC * slope  to all points of a configuration (least squares of relative errors) and prints each
point beside its fit.  Writes docs/images/scaling.svg (both axes logarithmic) and benchmarks/results/<machine>-scaling.json.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from lowbit.errors import LowbitError

ROOT = Path(__file__).resolve().parents[1]
NATURAL_SIZE = 224  # of the batches
RUNS, BATCHES, SIZES = 4, [1, 4, 32], [64, 128, 224, 320, 512]
FULL_RUNS, FULL_BATCHES, FULL_SIZES = 8, [1, 2, 4, 8, 16, 32], [64, 96, 128, 160, 224, 320, 384, 512]
FAR = 1.25  # a point this many times off its fit is marked


@dataclass(frozen=True)
class Point:
    """Median of several runs of one shape."""

    config: str
    batch: int
    size: int
    macs: int
    ms: float


@dataclass(frozen=True)
class Fit:
    """ms = fixed_ms + GMAC * ms_per_gmac;  exponent: slope of log ms over log MACs, 1 = linear."""

    config: str
    fixed_ms: float
    ms_per_gmac: float
    exponent: float

    def at(self, macs: float) -> float:
        return self.fixed_ms + self.ms_per_gmac * macs / 1e9


def fit(config: str, points: Sequence[Point]) -> Fit:
    """Least squares of (ms - fit) / ms, with a fixed part that is not negative."""
    gmacs, ms = np.array([p.macs / 1e9 for p in points]), np.array([p.ms for p in points])
    fixed, slope = np.linalg.lstsq(np.stack([1 / ms, gmacs / ms], 1), np.ones(len(ms)), rcond=None)[0]
    if fixed < 0:
        fixed, slope = 0.0, (gmacs / ms).sum() / ((gmacs / ms) ** 2).sum()
    exponent = np.polyfit(np.log(gmacs), np.log(ms), 1)[0]
    return Fit(config, float(fixed), float(slope), float(exponent))


def measure(name: str, configs: Sequence[str], shapes: Sequence[tuple[int, int]], threads: int, runs: int) -> list[Point]:
    """All points; their runs take turns, so that a busy minute falls on all of them.  Ranges of values are those of
    images of NATURAL_SIZE, one at a time, for all shapes: they do not depend on the shape, and this is fast."""
    from lowbit.bench import BenchPlan, prepare
    from lowbit.measure.latency import measure_latency
    from lowbit.tracer import trace
    from lowbit.zoo import load_network
    from lowbit.zoo.samples import smooth_samples

    given = prepare(BenchPlan(name, tuple(configs), threads, input_shape=(1, 3, NATURAL_SIZE, NATURAL_SIZE)))
    networks: dict[tuple[str, int, int], Any] = {}
    calls = {}
    for batch, size in shapes:
        _, examples = load_network(name, (batch, 3, size, size))
        shape = tuple(examples[0].shape)
        x = smooth_samples(shape, 0).numpy()
        shaped = replace(given, graph=trace(given.model, examples, name=name))
        for config in configs:
            network, _ = shaped.compile(config)
            key = config, batch, size
            networks[key], calls[json.dumps(key)] = network, partial(network, x)
        print(f"compiled {name} {shape}", file=sys.stderr, flush=True)
    latencies = measure_latency(calls, runs, warmup=1, rounds=min(runs, 3))
    return [Point(*key, network.manifest["macs"], latencies[json.dumps(key)].median_ms) for key, network in networks.items()]


def chart(title: str, points: Sequence[Point], fits: Sequence[Fit], path: Path) -> None:
    """Points and their straight lines: circles are batches, squares image sizes."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    matplotlib.rcParams["svg.hashsalt"] = "lowbit"  # the same picture, the same file
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.subplots()
    for i, line in enumerate(fits):
        mine = [p for p in points if p.config == line.config]
        for marker, some in (
            ("o", [p for p in mine if p.size == NATURAL_SIZE]),
            ("s", [p for p in mine if p.size != NATURAL_SIZE]),
        ):
            axes.plot([p.macs / 1e9 for p in some], [p.ms for p in some], marker, color=f"C{i}", markersize=5)
        macs = np.geomspace(min(p.macs for p in mine), max(p.macs for p in mine), 50)
        label = f"{line.config}: {line.fixed_ms:.2f} ms + {line.ms_per_gmac:.2f} ms per GMAC"
        axes.plot(macs / 1e9, [line.at(m) for m in macs], color=f"C{i}", label=label)
    axes.set(xscale="log", yscale="log", xlabel="GMAC (circles: batches, squares: image sizes)", ylabel="median ms", title=title)
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})


def numbers(text: str) -> list[int]:
    return [int(value) for value in text.split(",") if value]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="resnet18")
    parser.add_argument("--configs", default="fp32,8/int8")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int)
    parser.add_argument("--batches", type=numbers)
    parser.add_argument("--sizes", type=numbers)
    parser.add_argument("--full", action="store_true", help="thirteen shapes instead of seven, eight runs instead of four")
    options = parser.parse_args()
    runs, batches, sizes = (FULL_RUNS, FULL_BATCHES, FULL_SIZES) if options.full else (RUNS, BATCHES, SIZES)
    runs = runs if options.runs is None else options.runs
    batches = batches if options.batches is None else options.batches
    sizes = sizes if options.sizes is None else options.sizes
    shapes = dict.fromkeys([*((batch, NATURAL_SIZE) for batch in batches), *((1, size) for size in sizes)])
    configs = options.configs.split(",")
    points = measure(options.network, configs, list(shapes), options.threads, runs)
    fits = [fit(config, [p for p in points if p.config == config]) for config in configs]
    for line in fits:
        print(
            f"\n{line.config}: {line.fixed_ms:.3f} ms + {line.ms_per_gmac:.3f} ms per GMAC; grows as MACs ^ {line.exponent:.3f}"
        )
        print("| batch | size | GMAC | ms | GMAC/s | ms / fit |\n| ---: | ---: | ---: | ---: | ---: | --- |")
        for p in sorted((p for p in points if p.config == line.config), key=lambda p: p.macs):
            ratio = p.ms / line.at(p.macs)
            mark = " far" if not 1 / FAR < ratio < FAR else ""
            print(f"| {p.batch} | {p.size} | {p.macs / 1e9:.3f} | {p.ms:.2f} | {p.macs / p.ms / 1e6:.0f} | {ratio:.2f}{mark} |")

    from lowbit.measure.machine import commit, file_name, machine, versions

    where = machine()
    title = f"{options.network}, {options.threads} threads, {where.split(', Linux')[0]}"
    chart(title, points, fits, ROOT / "docs" / "images" / "scaling.svg")
    report: dict[str, Any] = {"network": options.network, "threads": options.threads, "machine": where}
    report |= {"versions": versions(), "commit": commit()}
    report |= {"fits": [asdict(line) for line in fits], "points": [asdict(p) for p in points]}
    folder = ROOT / "benchmarks" / "results"
    folder.mkdir(exist_ok=True)
    (folder / f"{file_name()}-scaling.json").write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    try:
        main()
    except LowbitError as error:
        sys.exit(f"{type(error).__name__}: {error}")
