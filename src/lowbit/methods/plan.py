"""A quantized network as a value: what every number is, for which network, and how it was found."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from os import PathLike
from typing import Any

import numpy as np

from lowbit.errors import ChoiceError, ConfigError, LowbitError
from lowbit.files import as_path, write_whole
from lowbit.graph import Graph
from lowbit.graph.fingerprint import fingerprint
from lowbit.graph.serialize import from_dict, to_dict
from lowbit.methods.task import Step, Task
from lowbit.quantization import Choice, LayerPrecision, QuantizationConfig, apply
from lowbit.quantization.choice_store import choice_from_dict, choice_to_dict

__all__ = ["QuantizationPlan"]

_FORMAT = "lowbit quantization plan 1"


@dataclass(frozen=True, eq=False)
class QuantizationPlan:
    """``graph``: the float graph that ``choice`` gives numbers to; its weights may be those that a method moved (equalisation).
    ``source``: fingerprint of the network as it was traced.  ``log``: what each method did, the error before and after."""

    graph: Graph
    choice: Choice
    config: QuantizationConfig
    source: str
    log: tuple[Step, ...] = ()

    @classmethod
    def of(cls, source: Graph, task: Task) -> QuantizationPlan:
        """What a method made of the task of ``source``."""
        return cls(task.graph, task.choice, task.config, fingerprint(source), task.log)

    def integer_graph(self, graph: Graph | None = None) -> Graph:
        """The integer graph; with ``graph``, the same network traced again, of its batch size.

        Raises ChoiceError for another network."""
        if graph is None:
            return apply(self.graph, self.choice)
        if fingerprint(graph) != self.source:
            raise ChoiceError(
                f"{graph.name}: this plan was made for another network (or other weights): it belongs to {self.source}, this is "
                f"{fingerprint(graph)}; quantize this network, or load the weights that the plan was made with"
            )
        constants = {name: self.graph.constants[name] for name in graph.constants}
        return apply(graph.rebuild(graph.nodes, constants=constants), self.choice)

    def save(self, path: str | PathLike[str]) -> None:
        """One safetensors file: the arrays by name, all else as JSON among its metadata."""
        from safetensors.numpy import save

        structure, constants = to_dict(self.graph)
        choice, numbers = choice_to_dict(self.choice)
        arrays = {f"graph {name}": value for name, value in constants.items()}
        arrays |= {f"choice {name}": value for name, value in numbers.items()}
        about = {
            "graph": structure,
            "choice": choice,
            "config": _config_to_dict(self.config),
            "source": self.source,
            "log": [asdict(step) for step in self.log],
        }
        data = save({name: np.ascontiguousarray(value) for name, value in arrays.items()}, {_FORMAT: json.dumps(about)})
        write_whole(as_path(path, "path"), data)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> QuantizationPlan:
        """What :meth:`save` wrote.  Raises ConfigError for another file."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(as_path(path, "path"), "numpy") as file:
                about = json.loads((file.metadata() or {})[_FORMAT])
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            graph, numbers = (
                {name.removeprefix(f"{kind} "): value for name, value in arrays.items() if name.startswith(f"{kind} ")}
                for kind in ("graph", "choice")
            )
            log = tuple(Step(**step) for step in about["log"])
            choice = choice_from_dict(about["choice"], numbers)
            return cls(from_dict(about["graph"], graph), choice, _config_from_dict(about["config"]), about["source"], log)
        except FileNotFoundError:
            raise ConfigError(f"{path} does not exist") from None
        except (OSError, SafetensorError, KeyError, TypeError, ValueError, LowbitError) as error:
            raise ConfigError(f"{path} is no quantization plan: {error or type(error).__name__}") from None

    def __str__(self) -> str:
        return "\n".join([f"{self.graph.name}: {self.config.weights} weights, {self.config.activations}", *map(str, self.log)])


_TEXTS = ("weights", "activations", "granularity", "scale")


def _config_to_dict(config: QuantizationConfig) -> dict[str, Any]:
    plain = {field.name: getattr(config, field.name) for field in fields(config) if field.name != "overrides"}
    plain |= {name: str(plain[name]) for name in _TEXTS}
    plain["overrides"] = {
        pattern: {k: None if v is None else str(v) if k != "container" else v for k, v in vars(wish).items()}
        for pattern, wish in config.overrides.items()
    }
    return plain


def _config_from_dict(plain: Mapping[str, Any]) -> QuantizationConfig:
    return QuantizationConfig(
        **{**plain, "overrides": {pattern: LayerPrecision(**wish) for pattern, wish in plain["overrides"].items()}}
    )
