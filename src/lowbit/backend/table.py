"""The table of backends: one line for each kind of machine."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from lowbit.errors import UnknownTarget

if TYPE_CHECKING:
    from lowbit.backend.protocol import Backend
    from lowbit.targets import Target

__all__ = ["BACKENDS", "backend_of", "obstacle"]

# Target.machine -> module:object, imported when it is needed
BACKENDS = {
    "x86_64": "lowbit.backend.cpu:CPU",
    "aarch64": "lowbit.backend.cpu:CPU",
    "cuda": "lowbit.backend.cuda.backend:CUDA",
}


def backend_of(target: Target) -> Backend:
    """What makes networks for ``target``.  Raises UnknownTarget with the machines there are."""
    if target.machine not in BACKENDS:
        known = ", ".join(BACKENDS)
        raise UnknownTarget(f"no backend makes networks for {target.name}, a {target.machine} machine; there are: {known}")
    module, _, name = BACKENDS[target.machine].partition(":")
    backend: Backend = getattr(import_module(module), name)
    return backend


def obstacle(target: Target) -> str:
    """Why a network for ``target`` cannot run here: the end of a sentence that begins with its name, "" = it can."""
    if target.machine not in BACKENDS:
        return f", a {target.machine} machine, for which this lowbit has no backend"
    return backend_of(target).obstacle(target)
