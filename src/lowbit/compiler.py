"""The compiler on one screen: trace, quantize, lower, generate, link."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence, Sized
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from lowbit.errors import CalibrationError, ConfigError, warn
from lowbit.graph import Graph
from lowbit.numerics import QType
from lowbit.progress import say, stage
from lowbit.quantization import LayerPrecision, QuantizationConfig
from lowbit.stage_log import StageLog
from lowbit.targets import Target

if TYPE_CHECKING:
    from lowbit.lowering import Program
    from lowbit.methods import Method, QuantizationPlan
    from lowbit.quantization import Calibration
    from lowbit.runtime.compiled import Compiled
    from lowbit.tuning.session import TuneReport

__all__ = [
    "build",
    "calibrate",
    "chosen_config",
    "compile",
    "float_graph",
    "make_config",
    "quantize",
    "quantized",
    "trace",
    "tune",
]


def trace(model: Any, example_inputs: Any = None, name: str | None = None, log: StageLog | None = None) -> Graph:
    """A ``torch.nn.Module`` or an ONNX model as a canonical float graph: batch norms folded, activations and residuals fused;
    of a network that was quantized elsewhere, the integer graph of its own numbers.

    ``model``, ``example_inputs``: as in :func:`compile`.  Raises UnsupportedOperation (operation, line of the user's model or
    node of the file, what is supported), NumericsError (NaN or Inf weights), InputError (example inputs that are not float32
    tensors, a file that is damaged or leaves extents free).
    """
    from lowbit.frontend import import_model
    from lowbit.frontend.importing import has_shapes
    from lowbit.passes import PASSES
    from lowbit.quantization import integer_form, is_quantized

    if example_inputs is None and not has_shapes(model):
        raise ConfigError("example_inputs is needed: a float32 tensor or a tuple of them, with the shapes to compile for")
    watch = log or StageLog()
    graph = import_model(model, example_inputs, name)
    watch("import", graph)
    for step in PASSES:
        graph = step(graph)
        watch(step.__name__, graph)
    if is_quantized(graph):
        graph = integer_form(graph)
        watch("integer_form", graph)
    return graph


def make_config(
    weights: str | QType | None = None,
    activations: str | QType | None = None,
    *,
    layers: Mapping[str, str | LayerPrecision] | None = None,
    **options: Any,
) -> QuantizationConfig | None:
    """The configuration that ``compile``'s keywords mean; None = float32.

    ``weights`` alone gets activations u8 (i16 for 16-bit weights); ``activations`` alone gets weights i8.
    ``layers``: pattern -> "i4/u8" (weights/activations) or LayerPrecision.
    """
    if layers is not None and not isinstance(layers, Mapping):
        raise ConfigError(
            f'layers is {type(layers).__name__}; write a dict of patterns to precisions, such as {{"layer1.*": "i8/u8"}}'
        )
    if weights is None and activations is None:
        if layers or options:
            given = ", ".join([*options, *(["layers"] if layers else [])])
            raise ConfigError(f"{given} given without weights or activations: a float network has no quantization options")
        return None
    known = [f.name for f in fields(QuantizationConfig) if f.name not in ("weights", "activations", "overrides")]
    if unknown := [option for option in options if option not in known]:
        raise ConfigError(f"unknown option {', '.join(unknown)}; the options of a quantization are {', '.join(known)}")
    w = QType.parse(weights) if weights is not None else QType.parse("i8")
    a = QType.parse(activations) if activations is not None else QType.parse("i16" if w.bits == 16 else "u8")
    return QuantizationConfig(w, a, overrides={p: LayerPrecision.parse(value) for p, value in (layers or {}).items()}, **options)


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
    seen = _calibrated(graph, chosen, calibration, progress)
    plan = _planned(graph, chosen, seen, progress, method, seconds, state)
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
    seen = _calibrated(graph, config, calibration, progress)
    return _planned(graph, config, seen, progress, method, seconds, None).integer_graph()


def _calibrated(
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


def _planned(
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
    if task.log:
        say(f"{graph.name}: {task.log[-1]}", progress)
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


def compile(  # the name users expect
    model: Any,
    example_inputs: Any = None,
    *,
    weights: str | QType | None = None,
    activations: str | QType | None = None,
    calibration: Iterable[Any] | Calibration | None = None,
    config: QuantizationConfig | str | None = None,
    layers: Mapping[str, str | LayerPrecision] | None = None,
    target: str | Target = "native",
    threads: int | None = None,
    name: str | None = None,
    progress: bool | None = None,
    dump_dir: str | Path | None = None,
    tune: bool | float = False,
    tuning: bool = True,
    plan: QuantizationPlan | None = None,
    method: str | Method | Sequence[str | Method] = "auto",
    seconds: float | None = None,
    **options: Any,
) -> Compiled:
    """Compile a network for one machine; the result is called like the module.

    ``model``: any ``torch.nn.Module``, with ``example_inputs`` (a float32 tensor or a tuple of them)
    whose shapes the compiled network keeps; or a ``.onnx`` file or a ModelProto (docs/onnx.md), whose shapes are in it (where it
    leaves extents free, ``example_inputs`` is input -> shape, or tensors); or what ``torch.export.export`` gives, also behind
    PT2E's convert_pt2e; or a canonical Graph from :func:`trace`, or the integer graph that lowbit.quantization.apply makes of
    one, or a network of lowbit.fake_quantize.  Networks that are quantized already keep their integers.
    ``weights``, ``activations``: integer types ("i4", "u8", "b1", ...); neither = float32.  ``config``:
    instead of them, a QuantizationConfig or a short form such as "4/int8" or "w4a8".  ``layers``: plan per
    layer, pattern -> "i4/u8".  ``calibration``: iterable of samples, or what :func:`calibrate` made of them.
    Further ``options`` are fields of QuantizationConfig (observer, granularity, scale, first_last_bits, ...).
    ``target``: a name in lowbit.targets.TARGETS or "native".  ``threads``: of the returned network;
    default all CPUs.  ``progress``: show bars (default: on a terminal).  ``dump_dir``: write the text of
    every stage there.  ``tune``: measure the convolutions first, for this many seconds (True: 60), see
    :func:`tune`.  ``tuning``: whether measurements decide about kernels at all; also off with the environment
    variable LOWBIT_TUNING=off.  ``method``, ``seconds``: how the integers are found and how long that may take, as in
    :func:`quantize`.  ``plan``: what that function made of the same network, in place of a configuration and a calibration.

    With calibration data the rounding errors of the layers are measured on a few of the samples (``result.noise``), and a
    PrecisionWarning names those that lose much of their signal and what would help.

    The output equals ``graph.interpreter.interpret(result.graph(), inputs)`` integer for integer.
    Raises subclasses of LowbitError before any work is lost.
    """
    from lowbit.arguments import folder_of, name_of, target_of, tuning_of
    from lowbit.backend.native import thread_count
    from lowbit.backend.table import backend_of
    from lowbit.lowering import lower, print_program
    from lowbit.measure.precision import check_precision
    from lowbit.tuning.lookup import make_lookup
    from lowbit.tuning.session import tune_graph
    from lowbit.tuning.untuned import report_untuned

    machine, chosen = target_of(target), chosen_config(config, weights, activations, layers, options)
    backend, workers = backend_of(machine), thread_count(threads) or len(os.sched_getaffinity(0))
    tuned, tuning = tuning_of(tune, tuning)
    if plan is not None and (chosen is not None or calibration is not None):
        raise ConfigError("a plan holds all numbers already: give either plan or weights/activations/config and calibration")
    name, log = name_of(name), StageLog(folder_of(dump_dir))
    backend.tools(machine)

    graph = traced = float_graph(model, example_inputs, name, log)
    made: QuantizationPlan | None = None
    if plan is not None:
        graph = plan.integer_graph(traced)
    elif chosen is not None:
        seen = _calibrated(traced, chosen, calibration, progress)
        made = _planned(traced, chosen, seen, progress, method, seconds, None)
        graph, samples = made.integer_graph(), seen.samples if calibration is not None else ()
    if graph is not traced:
        log("quantize", graph)
    noise = None if made is None else check_precision(made.graph, graph, samples)
    log("measure")
    if tuned:
        tune_graph(graph, machine, workers, tuned, progress=progress)
        log("tune")
    lookup = make_lookup(machine, workers) if tuning else None
    program = lower(graph, machine, lookup)
    if lookup is not None:
        report_untuned(program, machine, lookup.counts["refused"], progress)
    log("lower", text=print_program(program, machine.name))
    return build(graph, program, machine, threads, traced, None if noise is None else noise.to_json(), log, progress)


def build(
    graph: Graph,
    program: Program,
    machine: Target,
    threads: int | None = None,
    traced: Graph | None = None,
    noise: Mapping[str, Any] | None = None,
    log: StageLog | None = None,
    progress: bool | None = None,
) -> Compiled:
    """The kernels of a lowered graph, compiled, linked and opened; arguments as of runtime.assemble.assemble."""
    from lowbit.backend.table import backend_of
    from lowbit.runtime.assemble import assemble

    backend, log = backend_of(machine), log or StageLog(None)
    with stage("compile kernels", len(program.specs), progress) as advance:
        kernels = backend.compile(program.specs, machine, lambda *_: advance())
    log("kernels")
    sections = backend.link(program, kernels, machine)
    log("link")
    return assemble(graph, program, kernels, sections, machine, threads, log.seconds, traced, noise)


def tune(
    model: Any,
    example_inputs: Any = None,
    *,
    weights: str | QType | None = None,
    activations: str | QType | None = None,
    calibration: Iterable[Any] | Calibration | None = None,
    config: QuantizationConfig | str | None = None,
    layers: Mapping[str, str | LayerPrecision] | None = None,
    target: str | Target = "native",
    threads: int | None = None,
    name: str | None = None,
    progress: bool | None = None,
    seconds: float = 60.0,
    trials: int | None = None,
    pattern: str = "*",
    **options: Any,
) -> TuneReport:
    """Measure how the convolutions of a network are computed fastest on this machine, for about ``seconds``.

    What is found is kept in the user's cache and used by every later :func:`compile` of a network with the same
    convolutions, which then computes the same integers with other kernels.  ``trials``: decisions measured for each
    convolution (default 40).  ``pattern``: only layers whose name matches.  The other arguments are those of
    :func:`compile`; results hold for ``threads``.  An interrupted call is continued by the next one.
    Raises ConfigError for a target that this machine cannot run.
    """
    from lowbit.arguments import name_of, target_of
    from lowbit.backend.native import thread_count
    from lowbit.backend.table import backend_of
    from lowbit.kernels.conv2d.selection.candidates import LIMIT
    from lowbit.tuning.session import tune_graph

    machine, chosen = target_of(target), chosen_config(config, weights, activations, layers, options)
    workers = thread_count(threads) or len(os.sched_getaffinity(0))
    name = name_of(name)
    backend_of(machine).tools(machine)
    graph = float_graph(model, example_inputs, name)
    if chosen is not None:
        graph = quantized(graph, chosen, calibration, progress)
    return tune_graph(graph, machine, workers, seconds, LIMIT if trials is None else trials, pattern, progress)


def chosen_config(
    config: QuantizationConfig | str | None,
    weights: str | QType | None,
    activations: str | QType | None,
    layers: Mapping[str, str | LayerPrecision] | None,
    options: Mapping[str, Any],
) -> QuantizationConfig | None:
    """The configuration that these arguments of :func:`compile` mean together."""
    from lowbit.quantization import parse_config

    if config is not None and (weights is not None or activations is not None or layers or options):
        raise ConfigError("give either config or weights/activations/layers/options, not both")
    if isinstance(config, str):
        return parse_config(config)
    if config is None:
        return make_config(weights, activations, layers=layers, **options)
    if not isinstance(config, QuantizationConfig):
        raise ConfigError(f'config is text such as "4/int8" or a QuantizationConfig, not {config!r}')
    return config


def float_graph(model: Any, example_inputs: Any = None, name: str | None = None, log: StageLog | None = None) -> Graph:
    """The graph to compile: ``model`` itself, what it was made into (lowbit.fake), or its trace."""
    if isinstance(model, Graph):
        return model
    if callable(made := getattr(model, "integer_graph", None)):
        return cast("Graph", made())
    return trace(model, example_inputs, name, log)
