"""From a network and samples to the numbers of an integer network."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence, Sized
from typing import TYPE_CHECKING, Any

from lowbit.chosen_config import chosen_config
from lowbit.errors import CalibrationError, ConfigError, warn
from lowbit.graph import Graph
from lowbit.numerics import QType
from lowbit.progress import say, stage
from lowbit.quantization import LayerPrecision, QuantizationConfig
from lowbit.tracer import float_graph

if TYPE_CHECKING:
    from lowbit.methods import Method, QuantizationPlan
    from lowbit.quantization import Calibration

__all__ = ["calibrate", "calibrated", "planned", "quantize", "quantized"]


def calibrate(
    model: Any,
    example_inputs: Any = None,
    samples: Iterable[Any] | None = None,
    *,
    keep: int | None = None,
    data_free: bool = False,
    progress: bool | None = None,
) -> Calibration:
    """What ``samples`` show of the values of a network, for any number of configurations.

    ``model``, ``example_inputs``: as in :func:`compile`, whose ``calibration`` takes the result; compile the same model or, to
    trace it once, the same Graph.  ``keep``: how many of the samples' rows are kept for methods that fit them (None: 2,048, of
    at most 256 MiB).  Samples: as in lowbit.quantization.calibrate, which raises CalibrationError.

    ``data_free``: without samples, from inputs that are made such that the module's batch norms see the mean and variance that
    they keep (methods/distilled_data.py); better than random inputs, not as good as data.  CalibrationError for a network
    without batch norms, and for a Graph, in which they are folded already.
    """
    if not data_free:
        return _observe(float_graph(model, example_inputs), samples, None, progress, keep)
    if samples is not None:
        raise ConfigError("data_free makes its own inputs: give either samples or data_free=True")
    from lowbit.frontend import import_model
    from lowbit.methods.distilled_data import distilled_samples

    imported = model if isinstance(model, Graph) else import_model(model, example_inputs, None)
    made = distilled_samples(imported, progress=progress)
    return _observe(float_graph(model, example_inputs), [made], None, progress, keep)


def quantize(
    model: Any,
    example_inputs: Any = None,
    *,
    calibration: Iterable[Any] | Calibration | None = None,
    weights: str | QType | None = None,
    activations: str | QType | None = None,
    config: QuantizationConfig | str | None = None,
    layers: Mapping[str, str | LayerPrecision] | None = None,
    method: str | Method | Sequence[str | Method] = "auto",
    seconds: float | None = None,
    state: str | os.PathLike[str] | None = None,
    name: str | None = None,
    progress: bool | None = None,
    **options: Any,
) -> QuantizationPlan:
    """The numbers of an integer network, to be compiled by ``compile(model, example_inputs, plan=...)``, saved, or looked at.

    ``method``: a name of lowbit.methods.METHODS, a method such as ``lowbit.AdaRound(iterations=5000)``, or a list of these,
    carried out one after the other.  "auto" tries what may pay in about a minute and keeps what lowers the error on
    calibration rows that it did not fit; it is rounding to nearest where fewer than 32 rows were kept.  "nearest" rounds to
    nearest.  ``seconds``: what the methods together may take.  ``state``: folder of unfinished work, default one in the user's
    cache: an interrupted call is continued by the next one with the same arguments.  The other arguments are those of
    :func:`compile`.  Raises what compile raises, ConfigError for a float configuration, CalibrationError where a method needs
    samples and has none.
    """
    from lowbit.arguments import name_of
    from lowbit.measure.precision import check_precision

    chosen = chosen_config(config, weights, activations, layers, options)
    if chosen is None:
        raise ConfigError("nothing to quantize: give weights, activations, or a config other than fp32")
    graph = float_graph(model, example_inputs, name_of(name))
    seen = calibrated(graph, chosen, calibration, progress)
    plan = planned(graph, chosen, seen, progress, method, seconds, state)
    check_precision(plan.graph, plan.integer_graph(), seen.samples if calibration is not None else ())
    return plan


def quantized(
    graph: Graph,
    config: QuantizationConfig,
    calibration: Iterable[Any] | Calibration | None = None,
    progress: bool | None = None,
    method: str | Method | Sequence[str | Method] = "nearest",
    seconds: float | None = None,
) -> Graph:
    """The integer graph of a float graph; arguments as in :func:`quantize`."""
    seen = calibrated(graph, config, calibration, progress)
    return planned(graph, config, seen, progress, method, seconds, None).integer_graph()


def calibrated(
    graph: Graph, config: QuantizationConfig, calibration: Iterable[Any] | Calibration | None, progress: bool | None
) -> Calibration:
    """What ``calibration`` shows, or is.

    Without data, a seeded random input is used and a warning says so: enough to compile and time a network, not to judge its
    accuracy."""
    from lowbit.quantization import Calibration, random_samples

    if graph.is_integer:
        raise ConfigError(f"{graph.name} is an integer graph already; its precision was chosen when it was made")
    if calibration is None:
        warn("no calibration data: ranges come from a seeded random input, good for timing but not for accuracy")
        calibration = random_samples(graph, seed=0, count=1)
    return calibration if isinstance(calibration, Calibration) else _observe(graph, calibration, config, progress)


def planned(
    graph: Graph,
    config: QuantizationConfig,
    calibration: Calibration,
    progress: bool | None,
    method: str | Method | Sequence[str | Method],
    seconds: float | None,
    state: str | os.PathLike[str] | None,
) -> QuantizationPlan:
    """The numbers that ``method`` chooses."""
    from lowbit.files import as_path, cache_folder
    from lowbit.methods import QuantizationPlan, begin, method_of

    if seconds is not None and not (type(seconds) in (int, float) and seconds > 0):
        raise ConfigError(f"seconds is what methods may take, a number above 0, not {seconds!r}")
    wanted = method_of(method)
    folder = cache_folder() / "methods" if state is None else as_path(state, "state")
    task = wanted(begin(graph, calibration, config, seconds=seconds, state=folder, progress=progress))
    for step in task.log:
        if step.method == task.log[-1].method:  # what sums up
            say(f"{graph.name}: {step}", progress)
    return QuantizationPlan.of(graph, task)


def _observe(
    graph: Graph,
    samples: Iterable[Any] | None,
    config: QuantizationConfig | None,
    progress: bool | None,
    keep: int | None = None,
) -> Calibration:
    from lowbit.quantization import calibrate

    if not isinstance(samples, Iterable):
        raise CalibrationError(f"calibration is {type(samples).__name__}, must be an iterable of samples")
    with stage("calibrate", len(samples) if isinstance(samples, Sized) else None, progress) as advance:
        return calibrate(graph, samples, config, lambda *_: advance(), keep)
