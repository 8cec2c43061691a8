"""The verb that makes a network of fake quantizers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lowbit.chosen_config import chosen_config
from lowbit.errors import ConfigError, warn
from lowbit.numerics import QType
from lowbit.quantization import LayerPrecision, QuantizationConfig
from lowbit.quantizer import calibrate, quantize
from lowbit.tracer import float_graph

if TYPE_CHECKING:
    from torch import nn

    from lowbit.fake.network import FakeQuantized
    from lowbit.methods import Method, QuantizationPlan
    from lowbit.quantization import Calibration

__all__ = ["fake_quantize"]


def fake_quantize(
    model: Any,
    example_inputs: Any = None,
    *,
    weights: str | QType | None = None,
    activations: str | QType | None = None,
    calibration: Iterable[Any] | Calibration | None = None,
    config: QuantizationConfig | str | None = None,
    layers: Mapping[str, str | LayerPrecision] | None = None,
    select: Callable[[nn.Module], bool] | None = None,
    plan: QuantizationPlan | None = None,
    method: str | Method | Sequence[str | Method] = "nearest",
    seconds: float | None = None,
    name: str | None = None,
    progress: bool | None = None,
    **options: Any,
) -> FakeQuantized:
    """The network as an ``nn.Module`` whose outputs equal those of the compiled network, integer for integer.

    ``select``: which of the model's own modules are quantized, a predicate such as ``lambda m: isinstance(m, nn.Conv2d)``; the
    quantizers of the others are disabled: they compute on real numbers, and ``compile(fake)`` refuses them.  ``plan``: start from
    the numbers of :func:`lowbit.quantize` instead of choosing them, with the ``calibration`` that it was made with.  ``method``,
    ``seconds``: as in :func:`lowbit.quantize`, for a better start of a fine-tuning.  The other arguments are those of
    :func:`lowbit.compile`.  Quantizers are reached by name (``fake.quantizers``), their bits can be
    changed between runs, and ``lowbit.finetune`` trains the network; ``lowbit.compile(fake)`` gives exactly its integers.

    Raises ConfigError where no precision is given or nothing is selected, and what :func:`lowbit.compile` raises for the network.
    """
    from lowbit.fake.network import FakeQuantized
    from lowbit.quantization import Calibration, random_samples

    chosen = chosen_config(config, weights, activations, layers, options)
    if plan is not None and chosen is not None:
        raise ConfigError("give either a plan or a precision: a plan has its own")
    if plan is None and chosen is None:
        raise ConfigError("a network of fake quantizers needs a precision: weights and activations, or config such as w4a8")
    graph = float_graph(model, example_inputs, name)
    if graph.is_integer:
        raise ConfigError(f"{graph.name} is an integer graph already; fake quantization starts from the float network")
    if calibration is None:
        warn("no calibration data: ranges come from a seeded random input, good for trying out but not for accuracy")
        calibration = random_samples(graph, seed=0, count=1)
    if not isinstance(calibration, Calibration):
        calibration = calibrate(graph, samples=calibration, progress=progress)
    if plan is None:
        plan = quantize(graph, calibration=calibration, config=chosen, method=method, seconds=seconds, progress=progress)
    plan.integer_graph(graph)  # refuses another network
    if plan.graph is not graph and calibration.samples:  # a method moved weights: values have other ranges
        calibration = calibrate(plan.graph, samples=[calibration.samples], progress=progress)
    selected = None if select is None else _by_module(model, select)
    return FakeQuantized(plan.graph, calibration, plan.config, plan.choice, selected).eval()


def _by_module(model: Any, select: Callable[[nn.Module], bool]) -> Callable[[str], bool]:
    if not hasattr(model, "named_modules"):
        raise ConfigError("select chooses among the modules of a network; give the nn.Module, not its graph")
    modules = dict(model.named_modules())
    return lambda name: name in modules and bool(select(modules[name]))
