"""Points lost after fine-tuning on the calibration images, compiled: ``make accuracy FINETUNED=1``.

Needs LOWBIT_DATA.  Every epoch is kept in .finetuned/, every finished figure in benchmarks/results/floors.json.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from benchmarks.accuracy import PAGE, names_of
from benchmarks.floors import RESULTS
from benchmarks.results_file import ROOT, Results, write_between

from lowbit.measure.machine import commit, machine, versions

if TYPE_CHECKING:
    from torch import Tensor

STATES = ROOT / ".finetuned"
_SHIFT = 4  # pixels, to every side


@dataclass(frozen=True)
class Training:
    """``limit``: points that may be lost.  The others: of lowbit.finetune."""

    network: str
    words: str
    config: str
    limit: float
    epochs: int
    batch: int
    lr: float
    soften: float
    mixed: float

    @property
    def key(self) -> str:
        return f"{self.network} {self.config} finetuned"


TRAININGS = (
    Training("cifar10_resnet20", "ResNet-20", "w2a4", 5.0, 60, 64, 0.01, 0.7, 0.5),
    Training("cifar10_resnet20", "ResNet-20", "w1a8", 9.0, 80, 64, 0.01, 0.7, 0.5),
)


class Augmented:
    """Batches of images, half of them flipped, all shifted by up to four pixels; another draw every epoch."""

    def __init__(self, images: Tensor, labels: Tensor, batch: int) -> None:
        import torch

        self._images, self._labels, self._batch = images, labels, batch
        self._generator = torch.Generator().manual_seed(0)

    def __len__(self) -> int:
        return len(self._images) // self._batch

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        import torch
        import torch.nn.functional as F

        order = torch.randperm(len(self._images), generator=self._generator)
        for chosen in order.split(self._batch)[: len(self)]:
            x = self._images[chosen].clone()
            flipped = torch.rand(len(x), generator=self._generator) < 0.5
            x[flipped] = x[flipped].flip(-1)
            height, width = x.shape[2:]
            padded = F.pad(x, (_SHIFT,) * 4)
            corners = torch.randint(0, 2 * _SHIFT + 1, (len(x), 2), generator=self._generator).tolist()
            shifted = [one[:, top : top + height, left : left + width] for one, (top, left) in zip(padded, corners, strict=True)]
            yield torch.stack(shifted), self._labels[chosen]


def measure(training: Training, threads: int | None) -> dict[str, Any]:
    import torch

    import lowbit
    from lowbit.evaluation.networks import CompiledRunner
    from lowbit.measure.accuracy import agreement
    from lowbit.zoo import dataset
    from lowbit.zoo.pretrained import load_pretrained

    model, _ = load_pretrained(training.network)
    given, judged = (list(dataset(training.network, part).batches(50)) for part in ("calib", "eval"))
    images = torch.from_numpy(np.concatenate([batch.inputs[0] for batch in given]))
    labels = torch.from_numpy(np.concatenate([batch.labels for batch in given]))
    calibration = lowbit.calibrate(model, images[:50], samples=dataset(training.network, "calib"))
    fake = lowbit.fake_quantize(model, images[:50], calibration=calibration, config=training.config, method="nearest")
    STATES.mkdir(exist_ok=True)
    state = STATES / f"{training.key.replace(' ', '-')}-{training.epochs}-{training.mixed:g}.state"
    began = time.process_time()
    lowbit.finetune(
        fake,
        Augmented(images, labels, training.batch),
        training.epochs,
        lr=training.lr,
        soften=training.soften,
        mixed=training.mixed,
        state=state,
        progress=True,
    )
    seconds = time.process_time() - began
    runner = CompiledRunner(lowbit.compile(fake, threads=threads))
    logits = np.concatenate([runner([batch.inputs[0]]) for batch in judged])
    with torch.inference_mode():
        reference = np.concatenate([model(torch.from_numpy(batch.inputs[0])).numpy() for batch in judged])
    found = agreement(logits, reference, np.concatenate([batch.labels for batch in judged]))
    return {
        "images": found.count,
        "float": found.reference_top1,
        "top1": found.top1,
        "drop": -found.difference,
        "error": found.difference_error,
        "limit": training.limit,
        "processor_seconds": round(seconds, 1),
        "epochs": training.epochs,
        "batch": training.batch,
        "lr": training.lr,
        "soften": training.soften,
        "mixed": training.mixed,
    }


def table(parts: Mapping[str, Any]) -> str:
    lines = ["| network | config | epochs, batch, `lr`, `soften`, `mixed` | drop in points | at most | commit |"]
    lines.append("| --- | --- | --- | ---: | ---: | --- |")
    for training in TRAININGS:
        part = parts.get(training.key)
        first = f"| {training.words} | {training.config.upper()} |"
        if part is None:
            lines.append(f"{first} | - | {training.limit:g} | |")
            continue
        how = ", ".join(f"{part[name]:g}" for name in ("epochs", "batch", "lr", "soften", "mixed"))
        drop = f"{100 * part['drop']:.2f} ± {100 * part['error']:.2f}"
        lines.append(f"{first} {how} | {drop} | {training.limit:g} | {part['commit'][:7]} |")
    return "\n".join(lines)


def write_page() -> None:
    write_between(PAGE, "finetuned", table(Results(RESULTS).parts))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--configs", default="", help="comma-separated; default: all")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--page", action="store_true", help="only write docs/accuracy.md from what is measured")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    results = Results(RESULTS)
    if not given.page:
        configs = names_of(parser, given.configs.lower(), [training.config for training in TRAININGS])
        results.begin({"machine": machine(), "versions": versions(), "commit": commit()}, resume=True)
        for training in TRAININGS:
            if results.done(training.key) or (configs and training.config not in configs):
                continue
            part = measure(training, given.threads)
            results.put(training.key, part)
            print(f"{training.key}: {-100 * part['drop']:+.2f} ± {100 * part['error']:.2f}", flush=True)
    write_page()


if __name__ == "__main__":
    main()
