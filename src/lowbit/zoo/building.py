"""Networks by name, with weights and inputs by seed."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lowbit.errors import ConfigError
from lowbit.frontend.imported import ImportedNetwork
from lowbit.frontend.onnx.file import is_onnx
from lowbit.zoo.initialize import initialize
from lowbit.zoo.networks import NETWORKS, Network
from lowbit.zoo.pretrained import PRETRAINED, load_pretrained
from lowbit.zoo.samples import smooth_samples

__all__ = ["build", "example_inputs", "load_model", "load_network", "load_preprocessing", "short_name"]


def _network(name: str) -> Network:
    if name not in NETWORKS:
        known = (*NETWORKS, *PRETRAINED)
        near = difflib.get_close_matches(name, known, 1)
        hint = f"; did you mean {near[0]}? Known: " if near else "; known: "
        raise ConfigError(f"no network {name!r}{hint}{', '.join(known)}; or give module:factory for your own")
    return NETWORKS[name]


def build(name: str, seed: int = 0) -> nn.Module:
    """The network in evaluation mode, the same for the same seed.  ConfigError for an unknown name."""
    network = _network(name)
    with torch.device("meta"):  # skips torch's own initialization, half the time of a large network
        model = _factory(network.factory)()
    return initialize(model.to_empty(device="cpu"), network.input_shape, seed)


def example_inputs(name: str, batch: int = 1, seed: int = 0) -> tuple[Tensor, ...]:
    """Inputs for ``build(name)``: smooth pictures of deviation 1, or normal features, float32."""
    return (smooth_samples((batch, *_network(name).input_shape[1:]), 1000 + seed),)


def short_name(spec: str) -> str:
    """What a network is called that was named by ``spec``: the factory's name, or the file's."""
    return os.path.basename(spec).removesuffix(".onnx") if is_onnx(spec) else spec.rpartition(":")[2]


def load_model(spec: str) -> nn.Module:
    """A network of the tables by its name, or ``module:factory``, found from the working directory.

    ``factory`` is a function or class without arguments, or a module object; a function may return
    (module, example inputs) too, or (module, example inputs, preprocessing).  Raises ConfigError.
    """
    return ImportedNetwork(spec) if is_onnx(spec) else _made(spec)[0]


def load_preprocessing(spec: str) -> Callable[..., Any] | None:
    """What makes the inputs of a network from pixels (lowbit.data.Preprocessing, or a function), where its name or its factory
    says so; else None.  Raises ConfigError."""
    return None if is_onnx(spec) else _made(spec)[2]


def load_network(
    spec: str, input_shape: Sequence[int] | Mapping[str, Sequence[int]] | None = None, batch: int | None = None
) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """:func:`load_model` and inputs to trace it with.

    ``input_shape``: seeded inputs of this shape; needed for a factory that returns only a module.
    ``batch``: replaces the first extent (default: as the shape or the network's own inputs have it).  Of a ``.onnx`` file the
    inputs are seeded ones of its shapes, and ``input_shape`` may be input -> shape.  Raises ConfigError, and for a file what
    reading it raises.
    """
    if is_onnx(spec):
        return _from_file(spec, input_shape, batch)
    model, inputs, _ = _made(spec)
    if isinstance(input_shape, Mapping):
        raise ConfigError(f"{spec}: write --input-shape as 1x3x224x224; names of inputs are for .onnx files")
    if input_shape is not None:
        inputs = (smooth_samples(input_shape, 1000),)
    elif inputs is None:
        raise ConfigError(f"{spec} returns a module only; say the shape of its input, for example --input-shape 1x3x224x224")
    if batch is not None and any(x.ndim < 2 or x.shape[0] != batch for x in inputs):
        if len(inputs) != 1 or inputs[0].ndim < 2:
            raise ConfigError(f"{spec}: a batch of {batch} cannot be made of its inputs; let the factory return such inputs")
        inputs = (smooth_samples((batch, *inputs[0].shape[1:]), 1000),)
    return model, inputs


def _from_file(
    path: str, input_shape: Sequence[int] | Mapping[str, Sequence[int]] | None, batch: int | None
) -> tuple[nn.Module, tuple[Tensor, ...]]:
    shapes = input_shape if input_shape is None or isinstance(input_shape, Mapping) else [tuple(input_shape)]
    model = ImportedNetwork(path, shapes)
    inputs = model.example_inputs()
    if batch is not None and any(x.ndim < 2 or x.shape[0] != batch for x in inputs):
        if any(x.ndim < 2 for x in inputs):
            raise ConfigError(f"{path}: a batch of {batch} cannot be made of its inputs {[tuple(x.shape) for x in inputs]}")
        model = ImportedNetwork(path, [(batch, *x.shape[1:]) for x in inputs])
        inputs = model.example_inputs()
    return model.eval(), tuple(smooth_samples(tuple(x.shape), 1000) for x in inputs)


def _made(spec: str) -> tuple[nn.Module, tuple[Tensor, ...] | None, Callable[..., Any] | None]:
    """The module, and its inputs and its preprocessing where something says which."""
    if spec in PRETRAINED:
        model, own = load_pretrained(spec)
        return model, (smooth_samples((1, *PRETRAINED[spec].input_shape), 1000),), own
    if ":" not in spec:
        return build(_network(spec).name), example_inputs(spec), None
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    made = _factory(spec)
    if not isinstance(made, nn.Module):
        if not callable(made):
            raise ConfigError(f"{spec} is a {type(made).__name__}; it must be an nn.Module, or return one when called")
        try:
            made = made()
        except TypeError as error:
            raise ConfigError(f"{spec} cannot be called without arguments: {error}") from error
    inputs: tuple[Tensor, ...] | None = None
    preprocessing: Callable[..., Any] | None = None
    if isinstance(made, tuple) and len(made) == 3:
        *made, preprocessing = made
        if not callable(preprocessing):
            raise ConfigError(
                f"{spec} returned {type(preprocessing).__name__} as preprocessing; return a lowbit.data.Preprocessing "
                "or a function uint8 (N, H, W, C) -> float32 (N, C, H, W)"
            )
    if isinstance(made, tuple | list) and len(made) == 2:
        made, given = made
        inputs = (given,) if isinstance(given, Tensor) else tuple(given)
        if not inputs or not all(isinstance(x, Tensor) for x in inputs):
            raise ConfigError(f"{spec} returned a module and {type(given).__name__}; its example inputs must be tensors")
    if not isinstance(made, nn.Module):
        raise ConfigError(f"{spec} returned a {type(made).__name__}; it must return an nn.Module, or one and its example inputs")
    return made.eval(), inputs, preprocessing


def _factory(spec: str) -> Any:
    module_name, _, attribute = spec.partition(":")
    try:
        module = importlib.import_module(module_name)
    except (ImportError, ValueError) as error:
        raise ConfigError(f"{spec}: module {module_name!r} cannot be imported from {os.getcwd()}: {error}") from error
    if not hasattr(module, attribute):
        public = [name for name in vars(module) if not name.startswith("_")]
        raise ConfigError(f"{spec}: {module_name} has no {attribute!r}; it has {', '.join(public) or 'nothing'}")
    return getattr(module, attribute)
