"""What precision a network gets: defaults, first and last layers, overrides by name."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from numbers import Integral, Real
from types import MappingProxyType
from typing import Any

from lowbit.errors import ConfigError, UnsupportedPrecision
from lowbit.numerics import QType
from lowbit.quantization.granularity import Granularity, PerChannel, PerGroup, parse_granularity
from lowbit.quantization.observers import OBSERVERS
from lowbit.quantization.patterns import LayerPattern, parse_pattern
from lowbit.quantization.scales import FloatScale, ScaleMode, parse_scale

__all__ = ["FP16", "LayerPrecision", "QuantizationConfig", "parse_config"]

FP16 = "fp16"
"""The configuration of float networks whose values and weights are float16 in memory, for GPUs; ``compile`` knows it."""

_FORMS = (
    "fp32; <n>/int<m> (n-bit weights and activations kept in m bits, m = n, 8 or 16: 8/int8, 4/int8, 4/int4, 16/int16 ...); "
    "w<a>a<b> (a-bit weights, b-bit activations, packed: w4a8, w7a7 ...); n, a, b in 1..8 or 16"
)


def _weight_type(given: QType | str) -> QType:
    qtype = QType.parse(given)
    if not qtype.signed:
        raise ConfigError(f"weights of type {qtype}: weights are symmetric; write i2..i8, i16 or b1")
    return qtype


def _activation_type(given: QType | str) -> QType:
    qtype = QType.parse(given)
    if qtype == QType(16, False):
        raise UnsupportedPrecision("activations of type u16: 16-bit activations are signed and symmetric; write i16")
    return qtype


def _container(container: int | None, *qtypes: QType | None) -> int | None:
    widest = max((q.bits for q in qtypes if q is not None), default=1)
    if container is not None and not (container in (*range(1, 9), 16) and container >= widest):
        raise ConfigError(f"a container of {container} bits for {widest}-bit values; write {widest}, 8 or 16, or None for packed")
    return container


def _whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


_KINDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "first_last_bits": (lambda v: v is None or _whole(v), "1..8, 16 or None"),
    "weight_container": (lambda v: v is None or _whole(v), "a whole number of bits, or None for packed"),
    "activation_container": (lambda v: v is None or _whole(v), "a whole number of bits, or None for packed"),
    "container": (lambda v: v is None or _whole(v), "a whole number of bits, or None for packed"),
    "observer": (lambda v: isinstance(v, str), f"auto, {', '.join(OBSERVERS)}"),
    "percentile": (lambda v: isinstance(v, Real) and not isinstance(v, bool), "a number above 50 and up to 100"),
    "granularity": (lambda v: isinstance(v, str | Granularity), "per_channel, per_tensor or per_group:<input channels>"),
    "scale": (lambda v: isinstance(v, str | ScaleMode), "float, power_of_two, fixed:<fraction bits> or global:<range>"),
    "bias_correction": (lambda v: isinstance(v, bool), "True or False"),
    "full_range": (lambda v: isinstance(v, bool), "True or False"),
    "overrides": (
        lambda v: isinstance(v, Mapping) and all(isinstance(k, str) and isinstance(p, LayerPrecision) for k, p in v.items()),
        "a dict of patterns (text) to LayerPrecision",
    ),
}
"""Field -> whether a value is of its kind, and what may be written instead."""


def _check_kinds(config: object) -> None:
    """Raises ConfigError for a field of a wrong type; whole numbers of other libraries become int."""
    for item in fields(config):  # type: ignore[arg-type]
        value = getattr(config, item.name)
        known = _KINDS.get(item.name)
        if known is None:
            continue
        if not known[0](value):
            raise ConfigError(f"{item.name} {value!r} is of type {type(value).__name__}; write {known[1]}")
        if _whole(value):
            object.__setattr__(config, item.name, int(value))


@dataclass(frozen=True)
class LayerPrecision:
    """What one layer (or all that a pattern matches) gets instead of the defaults; None: keep.

    Types may be given as text.  ``activations`` is the type of the layer's input.  ``container``: bits a weight takes in storage.
    """

    weights: QType | None = None
    activations: QType | None = None
    container: int | None = None

    @classmethod
    def parse(cls, given: str | LayerPrecision) -> LayerPrecision:
        """``"i4/u8"`` (weights/activations) or ``"i4"``.  Raises ConfigError."""
        if isinstance(given, LayerPrecision):
            return given
        if not isinstance(given, str):
            raise ConfigError(f'the plan of a layer is text such as "i4/u8" or a LayerPrecision, not {given!r}')
        weights, _, activations = given.partition("/")
        return cls(QType.parse(weights) if weights else None, QType.parse(activations) if activations else None)

    def __post_init__(self) -> None:
        _check_kinds(self)
        if self.weights is not None:
            object.__setattr__(self, "weights", _weight_type(self.weights))
        if self.activations is not None:
            object.__setattr__(self, "activations", _activation_type(self.activations))
        _container(self.container, self.weights)


@dataclass(frozen=True)
class QuantizationConfig:
    """Precision of a whole network.  Types, ``granularity`` and ``scale`` may be given as text.

    ``weights``: i2..i8, i16, b1.  ``activations``: ``u<n>`` = unsigned with zero point 0 where the
    tensor is never negative, else with a zero point; ``i<n>`` = symmetric, zero point 0; ``b1`` =
    bipolar (u1 where the tensor is never negative: its sign would be the constant +1).  u1 for a
    tensor that can be negative becomes b1, for the same reason.
    ``first_last_bits``: least width of the first and the last layer's weights and inputs (Choi et al.
    2018 and nearly everyone since); None treats them as the others.
    ``weight_container``, ``activation_container``: bits a value takes in storage; None = its width.
    ``observer``: a name in OBSERVERS, or "auto": mse up to 4 bits, else minmax, unless a method finds that another suits the
    network (lowbit.Ranges).  ``percentile``: share of the values (in %) kept by the observer of that name.
    ``granularity``: of weight scales: PerChannel "per_channel", PerTensor "per_tensor", or PerGroup "per_group:<n>"
    input channels (layers up to 7 bits, wider ones per channel).
    ``scale``: FloatScale "float"; PowerOfTwo "power_of_two" (rounded up); FixedPoint "fixed:<frac>"; GlobalScale "global:<s>".
    ``bias_correction``: biases take up the mean error of the rounded weights.
    ``full_range``: u8 inputs of layers whose weights have up to 4 bits take all values to 255.  Otherwise they end where an
    input and a weight together still fit a byte (u8:240 beside i4): two products in one multiplication, for half a decibel.
    ``overrides``: pattern -> LayerPrecision; a layer's name, a glob over names, or "type:conv2d",
    "type:linear", "type:depthwise".  Later entries win; overrides win over first_last_bits.
    """

    weights: QType
    activations: QType
    first_last_bits: int | None = 8
    weight_container: int | None = None
    activation_container: int | None = None
    observer: str = "auto"
    percentile: float = 99.99
    granularity: Granularity = field(default_factory=PerChannel)
    scale: ScaleMode = field(default_factory=FloatScale)
    bias_correction: bool = True
    full_range: bool = False
    overrides: Mapping[str, LayerPrecision] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_kinds(self)
        if self.weights is None or self.activations is None:
            raise ConfigError("weights and activations both need a type; a float network needs no QuantizationConfig")
        object.__setattr__(self, "weights", _weight_type(self.weights))
        object.__setattr__(self, "activations", _activation_type(self.activations))
        object.__setattr__(self, "overrides", MappingProxyType(dict(self.overrides)))
        _container(self.weight_container, self.weights)
        _container(self.activation_container, self.activations)
        if self.first_last_bits is not None and self.first_last_bits not in (*range(1, 9), 16):
            raise ConfigError(f"first_last_bits {self.first_last_bits}; write 1..8, 16 or None")
        if self.observer != "auto" and self.observer not in OBSERVERS:
            raise ConfigError(f"unknown observer {self.observer!r}; known: auto, {', '.join(OBSERVERS)}")
        if not 50 < self.percentile <= 100:
            raise ConfigError(f"percentile {self.percentile}; write a number above 50 and up to 100")
        object.__setattr__(self, "granularity", parse_granularity(self.granularity))
        object.__setattr__(self, "scale", parse_scale(self.scale))
        if isinstance(self.granularity, PerGroup) and self.weights.bits > 7:
            raise UnsupportedPrecision(f"{self.granularity} with {self.weights} weights: group scales exist for up to 7 bits")
        _ = self.patterns

    @property
    def patterns(self) -> list[tuple[str, LayerPattern, LayerPrecision]]:
        """Text, pattern and precision of every override, in order."""
        return [(text, parse_pattern(text), wish) for text, wish in self.overrides.items()]

    def with_overrides(self, overrides: Mapping[str, LayerPrecision]) -> QuantizationConfig:
        """The same with these entries added behind the present ones; of a pattern that is there already the new one counts,
        in the new place."""
        kept = {pattern: wish for pattern, wish in self.overrides.items() if pattern not in overrides}
        return replace(self, overrides={**kept, **overrides})


def parse_config(text: str) -> QuantizationConfig | None:
    """ "fp32" -> None; "4/int8", "w4a8", ... -> a QuantizationConfig.  Raises ConfigError listing the forms."""
    form = str(text).strip().lower()
    if form == FP16:
        raise ConfigError(
            f"{FP16} is for networks on GPUs, which compile and bench make for targets cuda-*; allowed here: {_FORMS}"
        )
    if form == "fp32":
        return None
    if match := re.fullmatch(r"(\d+)/int(\d+)", form):
        bits, container = int(match[1]), int(match[2])
        if container in (bits, 8, 16) and container >= bits:
            return QuantizationConfig(
                _weights(bits, text), _activations(bits, text), weight_container=container, activation_container=container
            )
    if match := re.fullmatch(r"w(\d+)a(\d+)", form):
        return QuantizationConfig(_weights(int(match[1]), text), _activations(int(match[2]), text))
    raise ConfigError(f"unknown configuration {text!r}; allowed: {_FORMS}")


def _checked(bits: int, text: str) -> int:
    if bits not in (*range(1, 9), 16):
        raise ConfigError(f"{text!r} asks for {bits} bits; allowed: {_FORMS}")
    return bits


def _weights(bits: int, text: str) -> QType:
    return QType(_checked(bits, text), True, bipolar=bits == 1)


def _activations(bits: int, text: str) -> QType:
    return QType(_checked(bits, text), bits == 16)
