"""The stages of a compiled network as text: a table, one line a stage."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from lowbit.errors import ConfigError
from lowbit.graph.printer import print_graph
from lowbit.lowering import print_program
from lowbit.reporting.gpu_code import gpu_stage
from lowbit.reporting.kernel_texts import GPU_STAGES, KERNEL_STAGES, kernel_text
from lowbit.reporting.layers import matching

if TYPE_CHECKING:
    from lowbit.runtime.compiled import Compiled

__all__ = ["STAGES", "stage_text"]


def _lines_of(text: str, layer: str) -> str:
    """Without a layer all of it, else the lines that name the layer."""
    return text if not layer else "".join(line for line in text.splitlines(keepends=True) if layer in line)


def _graph(compiled: Compiled, layer: str) -> str:
    return _lines_of(compiled.text("graph.txt"), layer)


def _quantized(compiled: Compiled, layer: str) -> str:
    return _lines_of(print_graph(compiled.graph()), layer)


def _program(compiled: Compiled, layer: str) -> str:
    return _lines_of(print_program(compiled.program(), compiled.target.name), layer)


def _kernels(stage: str) -> Callable[[Compiled, str], str]:
    def text(compiled: Compiled, layer: str) -> str:
        target = compiled.target
        own = gpu_stage(compiled, stage) if stage in GPU_STAGES and stage not in KERNEL_STAGES else None
        users: dict[str, list[str]] = {}
        specs = {}
        for entry, spec in matching(compiled, layer):
            specs[spec.symbol(target.name)] = spec
            users.setdefault(spec.symbol(target.name), []).append(entry["name"])
        mark = {"llvm": ";", "cuda": "//", "ptx": "//", "sass": "//"}.get(stage, "#")
        parts = []
        for symbol, spec in specs.items():
            readers = ", ".join(dict.fromkeys(users[symbol]))
            body = kernel_text(spec, target, stage) if own is None else own(symbol)
            parts.append(f"{mark} {symbol}\n{mark} used by {readers}\n{body.rstrip()}\n")
        return "\n".join(parts)

    return text


_WHOLE = {"graph": _graph, "quantized": _quantized, "program": _program}

# stage -> function(compiled, layer): the text, of one layer or ("") all
STAGES: dict[str, Callable[[Compiled, str], str]] = {**_WHOLE, **{stage: _kernels(stage) for stage in KERNEL_STAGES}}
_OF_GPUS: dict[str, Callable[[Compiled, str], str]] = {**_WHOLE, **{stage: _kernels(stage) for stage in GPU_STAGES}}


def stage_text(compiled: Compiled, stage: str, layer: str = "") -> str:
    """Raises ConfigError for an unknown stage or layer, ToolMissing where TVM, or nvdisasm, is needed and absent."""
    stages = _OF_GPUS if compiled.target.arch else STAGES
    if stage not in stages:
        known = "" if stage not in (*STAGES, *_OF_GPUS) else f" of a network for {compiled.target.name}"
        raise ConfigError(f"unknown stage {stage!r}{known}; stages: {', '.join(stages)}")
    if layer:
        matching(compiled, layer)
    return stages[stage](compiled, layer)
