"""Whatever computes logits, called with batches of any length."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol

import numpy as np

from lowbit.errors import ConfigError, DataError
from lowbit.graph.structure import flattened
from lowbit.runtime.compiled import Compiled

__all__ = ["CompiledRunner", "FixedNetwork", "ModuleRunner", "Runner", "open_runner"]


class Runner(Protocol):
    """``rows``: samples it computes at once, None: any number.  ``shapes``: of its inputs, with ``rows`` in front; None: unknown.
    ``seconds``: spent in the network so far."""

    name: str
    seconds: float

    @property
    def rows(self) -> int | None: ...
    @property
    def shapes(self) -> tuple[tuple[int, ...], ...] | None: ...
    def __call__(self, inputs: Sequence[np.ndarray]) -> np.ndarray:
        """Inputs (n, ...) -> first output (n, ...)."""
        ...


class FixedNetwork(Protocol):
    """What a compiled network has that is asked here."""

    @property
    def name(self) -> str: ...
    @property
    def input_shapes(self) -> tuple[tuple[int, ...], ...]: ...
    def outputs(self, *inputs: Any) -> tuple[Any, ...]: ...


@dataclass
class CompiledRunner:
    """A compiled network: batches are cut to its own, the last filled up by repeating its first row."""

    network: FixedNetwork
    name: str = field(init=False)
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.name = self.network.name
        if len({shape[:1] for shape in self.shapes}) > 1 or not self.shapes[0]:
            raise ConfigError(f"{self.name}: its inputs {self.shapes} have no common batch axis, so no samples")

    @property
    def rows(self) -> int:
        return self.shapes[0][0]

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        return self.network.input_shapes

    def __call__(self, inputs: Sequence[np.ndarray]) -> np.ndarray:
        count, results = len(inputs[0]), []
        for start in range(0, count, self.rows):
            part = [value[start : start + self.rows] for value in inputs]
            if missing := self.rows - len(part[0]):
                part = [np.concatenate([value, np.repeat(value[:1], missing, 0)]) for value in part]
            began = time.perf_counter()
            output = self.network.outputs(*part)[0]
            self.seconds += time.perf_counter() - began
            results.append(output[: min(self.rows, count - start)])
        return np.concatenate(results) if len(results) > 1 else np.array(results[0])


@dataclass
class ModuleRunner:
    """A torch module as it is, in torch's own number of threads."""

    module: Any
    name: str = "module"
    seconds: float = 0.0
    rows = None
    shapes = None

    def __call__(self, inputs: Sequence[np.ndarray]) -> np.ndarray:
        import torch

        tensors = [torch.from_numpy(np.ascontiguousarray(value)) for value in inputs]
        began = time.perf_counter()
        try:
            with torch.inference_mode():
                output = self.module(*tensors)
        except RuntimeError as error:
            shapes = ", ".join(str(tuple(x.shape)) for x in tensors)
            raise DataError(f"{self.name} cannot compute samples of shape {shapes}: {error}") from error
        self.seconds += time.perf_counter() - began
        outputs, _ = flattened(output, torch.is_tensor, self._refuse)
        if not outputs:
            self._refuse("nothing")
        return np.asarray(outputs[0].float().numpy())

    def _refuse(self, what: str) -> NoReturn:
        raise DataError(f"{self.name} returns {what}; its first output must be a tensor")


@contextmanager
def open_runner(network: Any) -> Iterator[Runner]:
    """The runner of a compiled network or a torch module, which is in evaluation mode meanwhile.  Raises ConfigError."""
    if isinstance(network, Compiled):
        yield CompiledRunner(network)
        return
    modules = list(network.modules()) if hasattr(network, "modules") and callable(network) else None
    if modules is None:
        raise ConfigError(f"a {type(network).__name__} cannot be evaluated; give a compiled network or a torch.nn.Module")
    training = [module for module in modules if module.training]
    network.eval()
    try:
        yield ModuleRunner(network, type(network).__name__)
    finally:
        for module in training:
            module.training = True
