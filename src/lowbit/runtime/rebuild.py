"""From an artifact back to the parts it was linked from.

An artifact holds a shared library, which cannot be linked into a static program.  It also holds the integer
graph and the spec of every kernel; lowering the graph again with the same decisions is quick and gives the
same program, whose kernels are in the cache.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from lowbit.backend.build import weights_file
from lowbit.backend.cache import compile_kernels
from lowbit.errors import ArtifactError, ToolMissing
from lowbit.kernels.conv2d.decide import Request
from lowbit.kernels.conv2d.decision import Decision, decision_of
from lowbit.kernels.spec import ConvSpec, KernelSpec, WinogradSpec
from lowbit.lowering import Program, lower
from lowbit.progress import stage
from lowbit.targets import Target, find_target

if TYPE_CHECKING:
    from lowbit.runtime.compiled import Compiled

__all__ = ["Parts", "rebuild"]


@dataclass(frozen=True, eq=False)
class Parts:
    """What the backend links.  ``weights``: the weight file of ``program``."""

    program: Program
    kernels: Mapping[KernelSpec, bytes]
    weights: bytes
    target: Target


class _AsCompiled:
    """The decisions recorded in a manifest, by layer."""

    def __init__(self, layers: list[dict[str, Any]], specs: Sequence[KernelSpec]) -> None:
        self._specs = {layer["name"]: spec for layer, spec in zip(layers, specs, strict=True) if layer["macs"]}

    def find(self, request: Request) -> Decision | None:
        recorded: Any = self._specs.get(request.problem.layer)
        if not isinstance(recorded, ConvSpec | WinogradSpec):
            raise ArtifactError(f"{request.problem.layer}: the artifact has no kernel for it; compile again")
        return None if recorded == request.model.spec else decision_of(replace(request.model, spec=recorded))

    def refuse(self, request: Request, decision: Decision) -> None:
        raise ArtifactError(
            f"{request.problem.layer}: this lowbit does not compute it as the artifact does ({decision}); compile again"
        )


def rebuild(network: Compiled) -> Parts:
    """The parts of ``network``.

    Raises ToolMissing if a kernel has to be generated and TVM is not installed, ArtifactError if another version
    of lowbit made the artifact and this one would make another program.
    """
    manifest = network.manifest
    target = find_target(manifest["target"]["name"])
    program = lower(network.graph(), target, _AsCompiled(network.layers, network.specs))
    if [call.spec.symbol(target.name) for call in program.calls] != [layer["kernel"] for layer in manifest["layers"]]:
        raise ArtifactError(f"{network.name}: this lowbit makes another program of it than the artifact holds; compile again")
    try:
        with stage("compile kernels", len(program.specs)) as advance:
            kernels = compile_kernels(program.specs, target, progress=lambda *_: advance())
    except ModuleNotFoundError as error:
        raise ToolMissing(f"{network.name}: its kernels are not in the cache; generating them needs {error.name}") from None
    return Parts(program, kernels, weights_file(program), target)
