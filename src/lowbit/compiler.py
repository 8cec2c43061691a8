"""The compiler on one screen: trace, quantize, lower, generate, link."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lowbit.chosen_config import asks_for_half, check_half, chosen_config
from lowbit.errors import ConfigError
from lowbit.graph import Graph
from lowbit.numerics import QType
from lowbit.progress import stage
from lowbit.quantization import LayerPrecision, QuantizationConfig
from lowbit.quantizer import calibrated, planned, quantized
from lowbit.stage_log import StageLog
from lowbit.targets import Target
from lowbit.tracer import float_graph

if TYPE_CHECKING:
    from lowbit.lowering import Program
    from lowbit.methods import Method, QuantizationPlan
    from lowbit.quantization import Calibration
    from lowbit.runtime.compiled import Compiled
    from lowbit.tuning.session import TuneReport

__all__ = ["build", "compile", "tune"]


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
    device: int | None = None,
    name: str | None = None,
    progress: bool | None = None,
    dump_dir: str | Path | None = None,
    tune: bool | float = False,
    tuning: bool = True,
    plan: QuantizationPlan | None = None,
    method: str | Method | Sequence[str | Method] = "auto",
    seconds: float | None = None,
    float: str = "float32",
    **options: Any,
) -> Compiled:
    """Compile a network for one machine; the result is called like the module.

    ``model``: any ``torch.nn.Module``, with ``example_inputs`` (a float32 tensor or a tuple of them)
    whose shapes the compiled network keeps; or a ``.onnx`` file or a ModelProto (docs/onnx.md), whose shapes are in it (where it
    leaves extents free, ``example_inputs`` is input -> shape, or tensors); or what ``torch.export.export`` gives, also behind
    PT2E's convert_pt2e; or a canonical Graph from :func:`trace`, or the integer graph that lowbit.quantization.apply makes of
    one, or a network of lowbit.fake_quantize.  Networks that are quantized already keep their integers.
    ``weights``, ``activations``: integer types ("i4", "u8", "b1", ...); neither = float32.  ``config``:
    instead of them, a QuantizationConfig or a short form such as "4/int8" or "w4a8", or, for GPUs, "fp16": float16 values and
    weights, sums in float32.  ``layers``: plan per
    layer, pattern -> "i4/u8".  ``calibration``: iterable of samples, or what :func:`calibrate` made of them.
    Further ``options`` are fields of QuantizationConfig (observer, granularity, scale, first_last_bits, ...).
    ``target``: a name in lowbit.targets.TARGETS, "native", or "cuda" for the GPU of this machine; ``device``: of a network for
    GPUs the number of the one that the result runs on.  ``threads``: of the returned network;
    default all CPUs.  ``progress``: show bars (default: on a terminal).  ``dump_dir``: write the text of
    every stage there.  ``tune``: measure the convolutions first, for this many seconds (True: 60), see
    :func:`tune`.  ``tuning``: whether measurements decide about kernels at all; also off with the environment
    variable LOWBIT_TUNING=off.  ``method``, ``seconds``: how the integers are found and how long that may take, as in
    :func:`quantize`.  ``plan``: what that function made of the same network, in place of a configuration and a calibration.

    ``float``: how float32 layers multiply.  "float32": as float32 does.  "bf16x3", on targets with AMX's bfloat16: convolutions
    without groups, and linear layers of several rows, where that is estimated to be faster, split each number a into two
    bfloat16, h = bf16(a) and l = bf16(a - h), and sum h_x l_w + h_x h_w + l_x h_w in float32 (tdpbf16ps).  Of a result with K
    products in S steps of 32 (a row of taps, or a tap, is a whole number of steps), as long as nothing overflows,

        |error| <= R (sum |x w| + |bias| + |residual|) + 2^-126 (1.02 sum (|x| + |w|) + 104 S)
        R = 2^-15 + 2^-34 + gamma(3 S + 18) (1 + 2^-6 + 2^-14),  gamma(n) = n u / (1 - n u),  u = 2^-24

    (numerics/bfloat16.py derives it): 3.2e-5 for K = 64, 5.8e-5 for K = 4608, where float32's own bounds are 3.9e-6 and 2.7e-4.
    ``result.float_error`` holds R of each layer computed so; every other layer, depthwise ones among them, is float32.
    AMX rounds to nearest even and takes denormal numbers for zeros, before and after each operation, whatever the thread's mode.
    Every sum that an infinite or NaN input enters, or one of 2^128 - 2^119 and more, becomes NaN (float32 may give an infinity);
    layers with weights that large stay float32.

    With calibration data the rounding errors of the layers are measured on a few of the samples (``result.noise``), and a
    PrecisionWarning names those that lose much of their signal and what would help.

    The output of an integer network equals ``graph.interpreter.interpret(result.graph(), inputs)`` integer for integer.
    Raises subclasses of LowbitError before any work is lost.
    """
    from lowbit.arguments import floats_of, folder_of, has_float_layers, name_of, target_of, tuning_of
    from lowbit.backend.native import thread_count
    from lowbit.backend.table import backend_of
    from lowbit.lowering import lower, print_program
    from lowbit.measure.precision import check_precision
    from lowbit.passes.halve import halve
    from lowbit.tuning.lookup import make_lookup
    from lowbit.tuning.session import tune_graph
    from lowbit.tuning.untuned import report_untuned

    machine, half = target_of(target), asks_for_half(config)
    chosen = chosen_config(None if half else config, weights, activations, layers, options)
    if half:
        check_half(machine, weights=chosen, calibration=calibration is not None, plan=plan, tune=tune)
    backend, workers = backend_of(machine), thread_count(threads) or len(os.sched_getaffinity(0))
    tuned, tuning = tuning_of(tune, tuning)
    if plan is not None and (chosen is not None or calibration is not None):
        raise ConfigError("a plan holds all numbers already: give either plan or weights/activations/config and calibration")
    floats = floats_of(float, machine, plan is not None or chosen is not None)
    name, log = name_of(name), StageLog(folder_of(dump_dir))
    backend.tools(machine)

    graph = traced = float_graph(model, example_inputs, name, log)
    floats_of(float, machine, not has_float_layers(graph))
    if traced.real != "float32":
        check_half(machine, weights=chosen)
    made: QuantizationPlan | None = None
    if half:
        graph = halve(traced)
    elif plan is not None:
        graph = plan.integer_graph(traced)
    elif chosen is not None:
        seen = calibrated(traced, chosen, calibration, progress)
        made = planned(traced, chosen, seen, progress, method, seconds, None)
        graph, samples = made.integer_graph(), seen.samples if calibration is not None else ()
    if graph is not traced:
        log("halve" if half else "quantize", graph)
    noise = None if made is None else check_precision(made.graph, graph, samples)
    log("measure")
    if tuned:
        tune_graph(graph, machine, workers, tuned, progress=progress, floats=floats)
        log("tune")
    lookup = make_lookup(machine, workers) if tuning else None
    program = lower(graph, machine, lookup, floats=floats)
    if lookup is not None:
        report_untuned(program, machine, lookup.counts["refused"], progress)
    log("lower", text=print_program(program, machine.name))
    return build(graph, program, machine, threads, traced, None if noise is None else noise.to_json(), log, progress, device)


def build(
    graph: Graph,
    program: Program,
    machine: Target,
    threads: int | None = None,
    traced: Graph | None = None,
    noise: Mapping[str, Any] | None = None,
    log: StageLog | None = None,
    progress: bool | None = None,
    device: int | None = None,
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
    return assemble(graph, program, kernels, sections, machine, threads, log.seconds, traced, noise, device)


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
    float: str = "float32",
    **options: Any,
) -> TuneReport:
    """Measure how the convolutions of a network are computed fastest on this machine, for about ``seconds``.

    What is found is kept in the user's cache and used by every later :func:`compile` of a network with the same
    convolutions, which then computes the same integers with other kernels.  ``trials``: decisions measured for each
    convolution (default 40).  ``pattern``: only layers whose name matches.  The other arguments are those of
    :func:`compile`; results hold for ``threads``.  An interrupted call is continued by the next one.
    Raises ConfigError for a target that this machine cannot run.
    """
    from lowbit.arguments import floats_of, has_float_layers, name_of, target_of
    from lowbit.backend.native import thread_count
    from lowbit.backend.table import backend_of
    from lowbit.kernels.conv2d.selection.candidates import LIMIT
    from lowbit.tuning.session import check_runs, tune_graph

    machine, chosen = target_of(target), chosen_config(config, weights, activations, layers, options)
    workers = thread_count(threads) or len(os.sched_getaffinity(0))
    floats = floats_of(float, machine, chosen is not None)
    name = name_of(name)
    backend_of(machine).tools(machine)
    check_runs(machine)
    graph = float_graph(model, example_inputs, name)
    floats_of(float, machine, not has_float_layers(graph))
    if chosen is not None:
        graph = quantized(graph, chosen, calibration, progress)
    return tune_graph(graph, machine, workers, seconds, LIMIT if trials is None else trials, pattern, progress, floats=floats)
