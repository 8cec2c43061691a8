"""Top-1 of a pretrained network, compiled and in float, on the same real images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from lowbit.errors import ConfigError
from lowbit.measure.accuracy import Agreement, agreement

if TYPE_CHECKING:
    from lowbit.quantization import QuantizationConfig

__all__ = ["CALIBRATION_IMAGES", "EvalPlan", "EvalRow", "run_eval"]

CALIBRATION_IMAGES = 500
_BATCH = {"cifar10": 50, "imagenet224": 10}  # dataset -> images a run


@dataclass(frozen=True)
class EvalPlan:
    """``network``: a name in zoo.pretrained.PRETRAINED; ``configs``: forms of ``quantization.parse_config``;
    ``limit``: images of the evaluation split, None = all; ``calibration``: images of the calibration split.

    ``quantizations``: what the ``configs`` mean.  Making one checks every name.  Raises ConfigError.
    """

    network: str
    configs: tuple[str, ...]
    limit: int | None = None
    calibration: int = CALIBRATION_IMAGES
    threads: int | None = None
    target: str = "native"
    quantizations: Mapping[str, QuantizationConfig | None] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        from lowbit.quantization import parse_config
        from lowbit.targets import find_target
        from lowbit.zoo.pretrained import PRETRAINED, data_root

        if self.network not in PRETRAINED:
            raise ConfigError(f"no pretrained network {self.network!r}; known: {', '.join(PRETRAINED)}")
        if not self.configs:
            raise ConfigError("no configuration to evaluate; write for example 8/int8")
        parsed = {config: parse_config(config) for config in self.configs}
        object.__setattr__(self, "quantizations", MappingProxyType(parsed))
        if (self.limit is not None and self.limit < 1) or self.calibration < 1:
            raise ConfigError(f"at least one image is needed, got limit {self.limit} and calibration {self.calibration}")
        find_target(self.target)
        if data_root() is None:
            raise ConfigError("no images: set LOWBIT_DATA (or --data) to the folder that holds models/ and dev/")


@dataclass(frozen=True)
class EvalRow:
    """One configuration of one network; ``result`` compares it with float32 on the same images."""

    network: str
    config: str
    calibration: int
    result: Agreement

    def to_json(self) -> dict[str, Any]:
        r = self.result
        return {
            "network": self.network,
            "config": self.config,
            "images": r.count,
            "calibration_images": self.calibration,
            "top1": r.top1,
            "top1_error": r.top1_error,
            "float_top1": r.reference_top1,
            "float_top1_error": r.reference_error,
            "difference": r.difference,
            "difference_error": r.difference_error,
            "agreement": r.same,
        }


def run_eval(plan: EvalPlan, say: Callable[[str], None] = lambda _: None) -> list[EvalRow]:
    """Compile every configuration from the calibration images, run all on the evaluation images.

    The float column is the PyTorch module itself, batch by batch on the very arrays the compiled
    network gets.  ``say`` hears one line about each step.
    """
    import torch

    from lowbit.compiler import calibrate, trace
    from lowbit.compiler import compile as compile_network
    from lowbit.zoo.pretrained import PRETRAINED, images, load_pretrained

    model, _ = load_pretrained(plan.network)
    batch = _BATCH[PRETRAINED[plan.network].dataset]
    given, _ = images(plan.network, "calib", batch, plan.calibration)
    samples = list(given)
    example, _ = next(_padded(samples, batch))
    graph = trace(model, (torch.from_numpy(example),), name=plan.network)
    parsed, networks = plan.quantizations, {}
    calibration = calibrate(graph, samples=samples) if any(parsed.values()) else None
    for config in plan.configs:
        networks[config] = compile_network(
            graph,
            config=parsed[config],
            calibration=calibration,
            target=plan.target,
            threads=plan.threads,
            name=plan.network,
        )
        say(f"{plan.network} {config}: compiled")
    batches, labels = images(plan.network, "eval", batch, plan.limit)
    reference: list[np.ndarray] = []
    logits: dict[str, list[np.ndarray]] = {config: [] for config in plan.configs}
    with torch.inference_mode():
        for x, count in _padded(batches, batch):
            reference.append(model(torch.from_numpy(x)).numpy()[:count])
            for config, network in networks.items():
                logits[config].append(np.array(network(x))[:count])
    return [
        EvalRow(
            plan.network,
            config,
            sum(map(len, samples)) if parsed[config] else 0,
            agreement(np.concatenate(logits[config]), np.concatenate(reference), labels),
        )
        for config in plan.configs
    ]


def _padded(batches: Iterable[np.ndarray], batch: int) -> Iterator[tuple[np.ndarray, int]]:
    """(array of exactly ``batch`` images, how many of them are real); a short last batch repeats its first."""
    for x in batches:
        missing = batch - len(x)
        yield (x if not missing else np.concatenate([x, np.repeat(x[:1], missing, 0)])), len(x)
