"""A search as it is written down: a TOML file, flags, and what a study keeps so that others can join it."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from lowbit.data import Preprocessing
from lowbit.errors import ConfigError
from lowbit.evaluation.plan import CALIBRATION_IMAGES, SHARE, EvalPlan
from lowbit.searching.objectives import parse_bound, parse_objectives
from lowbit.searching.space import Rule, SearchSpace
from lowbit.searching.strategies import find_strategy
from lowbit.searching.study import HEARTBEAT

__all__ = ["SearchSettings", "merged", "read_settings"]

_SPACE = ("layers", "weights", "activations", "fixed", "tied", "base", "rule", "rules")


@dataclass(frozen=True)
class SearchSettings:
    """``network``, ``data``, ``calib_data``, ``share``, ``labels``, ``scale``, ``mean``, ``std``, ``size``, ``resize``,
    ``input_shape``, ``batch``: as of ``lowbit eval``.  ``calibration``: images that calibrate, at most; ``images``: that judge
    every plan, None: all.  ``objectives``: as parse_objectives takes them; ``weighted``: their sum is the one objective.
    ``constraints``: texts of parse_bound.  ``trials``: None: 100, or the whole space for brute force.  ``method``: how integers
    are found (searching/numbers.py), once for each width, or, ``whole``, for every plan.  ``threads``: of every network.
    ``target``: what is timed; ``latency_batch``: with so many rows.
    ``uniform``: networks of one width to compare with: all, diagonal (w = a, and each w with the widest a) or none.
    ``timeout``: seconds.  ``heartbeat``: seconds between signs of life of a trial in the storage.
    Making one checks every name.  Raises ConfigError."""

    network: str
    data: str | None = None
    calib_data: str | None = None
    share: float = SHARE
    labels: str | None = None
    scale: float | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    size: tuple[int, int] | None = None
    resize: int | None = None
    input_shape: tuple[int, ...] | Mapping[str, tuple[int, ...]] | None = None
    batch: int | None = None
    calibration: int = CALIBRATION_IMAGES
    images: int | None = None
    space: SearchSpace = field(default_factory=SearchSpace)
    strategy: str = "tpe"
    objectives: Any = "accuracy,latency,size"
    weighted: bool = False
    constraints: tuple[str, ...] = ()
    trials: int | None = None
    seed: int = 0
    method: str = "nearest"
    whole: bool = False
    threads: int | None = None
    target: str = "native"
    latency_batch: int = 1
    uniform: str = "diagonal"
    workers: int = 1
    storage: str | None = None
    study: str = "lowbit"
    timeout: float | None = None
    heartbeat: float = HEARTBEAT

    def __post_init__(self) -> None:
        find_strategy(self.strategy)
        parse_objectives(self.objectives)
        for text in self.constraints:
            parse_bound(text)
        if self.uniform not in _UNIFORM:
            raise ConfigError(f"uniform {self.uniform!r}; write {', '.join(_UNIFORM)}")
        for name in ("trials", "workers", "latency_batch", "threads", "images"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, int) and value >= 1):
                raise ConfigError(f"{name} {value!r}; write a number of at least 1")
        _ = self.evaluation

    @property
    def evaluation(self) -> EvalPlan:
        """The same network and data, in the words of ``lowbit eval``."""
        return EvalPlan(
            self.network,
            ("8/int8",),
            self.images,
            self.calibration,
            self.threads,
            data=self.data,
            calibration_data=self.calib_data,
            share=self.share,
            preprocessing=self.preprocessing,
            labels=None if self.labels is None else Path(self.labels),
            batch=self.batch,
            input_shape=self.input_shape,
        )

    @property
    def preprocessing(self) -> Preprocessing | None:
        given = {"scale": self.scale, "mean": self.mean, "std": self.std, "size": self.size, "resize": self.resize}
        named = {name: value for name, value in given.items() if value is not None}
        return Preprocessing(**named) if named else None  # type: ignore[arg-type]

    @property
    def methods(self) -> list[str]:
        return [part.strip() for part in self.method.split(",") if part.strip()]

    def to_json(self) -> dict[str, Any]:
        plain = {item.name: getattr(self, item.name) for item in fields(self) if item.name != "space"}
        space = {
            **asdict(replace(self.space, rules=())),
            "rules": [asdict(rule if isinstance(rule, Rule) else Rule.parse(rule)) for rule in self.space.rules],
        }
        return {**plain, "space": space}

    @classmethod
    def from_json(cls, held: Mapping[str, Any]) -> SearchSettings:
        """Inverse of :meth:`to_json`."""
        given = dict(held)
        space = dict(given.pop("space"))
        space["rules"] = tuple(Rule(**rule) for rule in space["rules"])
        return cls(**_tuples(given), space=SearchSpace(**space))


_UNIFORM = ("all", "diagonal", "none")


def _tuples(given: Mapping[str, Any]) -> dict[str, Any]:
    names = ("mean", "std", "size", "input_shape", "constraints")
    return {key: tuple(value) if key in names and isinstance(value, list) else value for key, value in given.items()}


def read_settings(
    path: str | Path, flags: Mapping[str, Any] = MappingProxyType({}), space: Mapping[str, Any] = MappingProxyType({})
) -> SearchSettings:
    """A TOML file whose keys are the fields of SearchSettings, ``[space]`` those of SearchSpace with ``[space.fixed]`` and any
    number of ``[[space.rule]]``, ``[objectives]`` metric -> scale or {scale, direction}.  ``flags`` and fields of the
    ``space`` that are not None win.

    Raises ConfigError for files that are none, and unknown keys."""
    try:
        held = tomllib.loads(Path(path).read_text())
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is no TOML file: {error}") from None
    if "network" not in held:
        raise ConfigError(f'{path}: no network; write for example network = "module:factory"')
    return merged(held, flags, space, str(path))


def merged(
    held: Mapping[str, Any], flags: Mapping[str, Any], space: Mapping[str, Any], where: str = "settings"
) -> SearchSettings:
    """Settings from the table of a file, and what is said otherwise.  Raises ConfigError for unknown keys."""
    known = [item.name for item in fields(SearchSettings)]
    if unknown := [key for key in held if key not in known]:
        raise ConfigError(f"{where}: unknown {', '.join(unknown)}; known: {', '.join(known)}")
    given = {**_tuples(held), **{key: value for key, value in flags.items() if value is not None}}
    table = given.pop("space", {})
    if not isinstance(table, Mapping):
        raise ConfigError(f"{where}: space {table!r}; write a table, [space]")
    found = replace(_space(table, where), **{key: value for key, value in space.items() if value is not None})
    return SearchSettings(**given, space=found)


def _space(held: Mapping[str, Any], path: str) -> SearchSpace:
    plain = {key: value for key, value in held.items() if key in ("layers", "fixed", "tied", "base")}
    rest = {key: value for key, value in held.items() if key not in (*plain, "rule", "rules")}
    default = Rule.parse(rest, f"{path}, [space]")
    rules: Sequence[Mapping[str, Any]] = [*held.get("rule", ()), *held.get("rules", ())]
    parsed = [Rule.parse(rule, f"{path}, rule {index + 1}") for index, rule in enumerate(rules)]
    if default.bias is not None:
        parsed.insert(0, Rule("*", bias=default.bias))
    given = {"weights": default.weights, "activations": default.activations}
    return SearchSpace(
        **{key: value for key, value in given.items() if value is not None},
        **({**plain, "layers": tuple(_listed(plain["layers"]))} if "layers" in plain else plain),
        rules=tuple(parsed),
    )


def _listed(given: str | Sequence[str]) -> list[str]:
    parts = given.split(",") if isinstance(given, str) else given
    return [part.strip() for part in parts if part.strip()]
