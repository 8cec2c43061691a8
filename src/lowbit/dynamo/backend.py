"""The backend that TorchDynamo calls with every graph it captures."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any

import torch
from torch import Tensor, fx

from lowbit.dynamo.bake import bake, is_activation, paths_of, state_of
from lowbit.dynamo.network import Network, Rows, build_network, regrouped
from lowbit.dynamo.options import Options, options_of
from lowbit.errors import CalibrationError, CalibrationWarning, ConfigError, warn
from lowbit.progress import say

__all__ = ["lowbit"]

_numbers = count()


def lowbit(
    graph: fx.GraphModule,
    example_inputs: Sequence[Any],
    options: Mapping[str, Any] | None = None,
    mode: str | None = None,
) -> Callable[..., Any]:
    """``torch.compile(model, backend="lowbit", options={"config": "8/int8", "calibration": samples})``.

    Options: ``config`` or ``weights``, ``activations``, ``layers`` as in lowbit.compile, none of them for float32;
    ``calibration``, samples of the model's inputs or a Calibration that kept some, without which the inputs of the first
    ``observe`` (1) calls serve, which run in torch but for the last; ``limit`` (8): for how many shapes and states of its
    parameters a graph is compiled, after which it stays in torch; ``threads``, ``method``, ``seconds``, ``target``, ``tune``,
    ``tuning``, ``progress``.

    A graph is compiled when it is called, for the shapes and the parameters that it has then, and anew when either changes.
    Operations that lowbit does not have stay in torch, and a line on stderr says which and why.  There are no gradients.
    Raises ConfigError for unknown options, and what lowbit.compile raises for wrong ones.
    """
    if mode is not None:
        raise ConfigError(f"backend lowbit has no modes (mode={mode!r}); say what it shall do with options=")
    return _Captured(graph, options_of(options), f"graph{next(_numbers)}")


class _Captured:
    """One graph of Dynamo's and the networks made of it."""

    def __init__(self, graph: fx.GraphModule, options: Options, name: str) -> None:
        self._graph, self._options, self._name, self._paths = graph, options, name, paths_of(graph)
        self._networks: dict[tuple[Any, ...], Network] = {}
        self._seen: list[tuple[Tensor, ...]] = []
        self._given: tuple[int, ...] | None = None
        self._held: tuple[int, ...] = ()
        self._lock = threading.Lock()
        self._full = False

    def __call__(self, *values: Any) -> Any:
        if self._given is None:  # of a graph always the same ones
            self._given = tuple(index for index, value in enumerate(values) if is_activation(value))
            self._held = tuple(index for index in range(len(values)) if index not in self._given)
        activations = [values[index] for index in self._given]
        state = state_of([values[index] for index in self._held])
        key = (tuple((value.shape, value.dtype, value.device) for value in activations), state)
        network = self._networks.get(key)
        if network is None:
            with self._lock, torch.no_grad():
                network = self._networks.get(key) or self._made(key, values, activations)
        return self._graph(*values) if network is None else network(*activations)

    def _made(self, key: tuple[Any, ...], values: Sequence[Any], activations: Sequence[Tensor]) -> Network | None:
        options = self._options
        if len(self._networks) >= options.limit:
            if not self._full:
                what = f"{len(self._networks)} shapes or states of its parameters"
                say(f"lowbit: {self._name}: compiled for {what}, the limit; others stay in torch", options.progress is not False)
            self._full = True
            return None
        samples = self._samples(activations)
        if samples is None:
            return None
        module = bake(self._graph, values, self._paths)
        self._networks[key] = network = build_network(module, activations, samples, options, self._name)
        return network

    def _samples(self, activations: Sequence[Tensor]) -> list[Rows] | None:
        """What calibrates a network of these inputs; None while calls are observed."""
        options, shapes = self._options, [tuple(value.shape) for value in activations]
        if options.config is None or not shapes:
            return []
        if options.samples:
            try:
                return regrouped(options.samples, shapes)
            except CalibrationError as error:
                warn(
                    f"{self._name} reads {shapes}, which the samples of option calibration do not fit ({error}); the first "
                    f"{options.observe} calls calibrate it",
                    CalibrationWarning,
                )
        fitting = [sample for sample in self._seen if [s.shape[1:] for s in sample] == [a.shape[1:] for a in activations]]
        if len(fitting) < options.observe:
            self._seen.append(tuple(value.detach().clone() for value in activations))
            fitting.append(self._seen[-1])
        return regrouped(fitting, shapes) if len(fitting) >= options.observe else None
