"""How fast a trained network goes over its evaluation images, compiled and in torch float32 on as many threads.

    LOWBIT_DATA=<folder> python benchmarks/accuracy_speed.py [--network cifar10_resnet20] [--configs fp32,8/int8,4/int4]
                                                             [--threads 1] [--batch 50] [--images 5000]

Every batch of images goes through all of them in turn, torch as the module is and in channels_last memory, so that a busy
machine slows all alike; the ratio is the median over batches of (torch's time / own time), torch being the faster of its
two.  Reading and preprocessing are not counted.  Writes benchmarks/results/<machine>-accuracy-speed.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lowbit import zoo
from lowbit.compiler import compile
from lowbit.measure.machine import commit, file_name, machine, versions
from lowbit.quantization import parse_config
from lowbit.quantizer import calibrate
from lowbit.tracer import trace

ROOT = Path(__file__).resolve().parents[1]


def measure(network: str, configs: list[str], threads: int, batch: int, images: int) -> dict[str, Any]:
    """Seconds of each batch in each."""
    torch.set_num_threads(threads)
    model, _ = zoo.load_pretrained(network)
    data = zoo.dataset(network, "eval").take(images)
    calibration = zoo.dataset(network, "calib").take(500)
    example = torch.from_numpy(next(data.batches(batch)).inputs[0])
    graph = trace(model, example, name=network)
    seen = calibrate(graph, samples=calibration)
    last = model.to(memory_format=torch.channels_last)
    runs: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "torch": lambda x: model(torch.from_numpy(x)).numpy(),
        "torch channels_last": lambda x: last(torch.from_numpy(x).to(memory_format=torch.channels_last)).numpy(),
    }
    model, _ = zoo.load_pretrained(network)
    for config in configs:
        chosen = parse_config(config)
        numbers = {"config": chosen, "calibration": seen, "method": "nearest"} if chosen else {}
        runs[config] = compile(graph, threads=threads, name=network, **numbers)
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    hits = dict.fromkeys(runs, 0)
    with torch.inference_mode():
        for run in runs.values():
            run(example.numpy())
        for one in data.batches(batch):
            if len(one) < batch:
                break
            for name, run in runs.items():
                start = time.perf_counter()
                logits = run(one.inputs[0])
                seconds[name].append(time.perf_counter() - start)
                hits[name] += int((np.asarray(logits).argmax(1) == one.labels).sum())
    count = batch * len(seconds["torch"])
    best = [min(pair) for pair in zip(seconds["torch"], seconds["torch channels_last"], strict=True)]
    rows = [
        {
            "config": name,
            "seconds": sum(values),
            "images_per_second": batch / statistics.median(values),
            "top1": hits[name] / count,
            "times_as_fast_as_torch": statistics.median(b / v for b, v in zip(best, values, strict=True)),
        }
        for name, values in seconds.items()
    ]
    return {"network": network, "images": count, "batch": batch, "threads": threads, "rows": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="cifar10_resnet20")
    parser.add_argument("--configs", default="fp32,8/int8,4/int4")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=50)
    parser.add_argument("--images", type=int, default=5000)
    given = parser.parse_args()
    found = measure(given.network, given.configs.split(","), given.threads, given.batch, given.images)
    for row in found["rows"]:
        print(
            f"{row['config']:20s} {row['images_per_second']:8.0f} images/s, {row['seconds']:6.2f} s, "
            f"top-1 {100 * row['top1']:.2f} %, {row['times_as_fast_as_torch']:.2f} times as fast as torch"
        )
    path = ROOT / "benchmarks" / "results" / f"{file_name()}-accuracy-speed.json"
    path.write_text(json.dumps({"machine": machine(), "versions": versions(), "commit": commit(), **found}, indent=1) + "\n")
    print(path)


if __name__ == "__main__":
    main()
