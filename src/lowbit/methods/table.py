"""THE table of methods: what finds the numbers of an integer network."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lowbit.errors import ConfigError
from lowbit.methods.activation_equalization import ActivationEqualization
from lowbit.methods.adaround import AdaRound
from lowbit.methods.auto import Auto
from lowbit.methods.batch_norm import BatchNormReestimation
from lowbit.methods.best import Best
from lowbit.methods.bias_correction import BiasCorrection
from lowbit.methods.block_reconstruction import BlockReconstruction
from lowbit.methods.channel_splitting import ChannelSplitting
from lowbit.methods.coordinate_descent import CoordinateDescent
from lowbit.methods.distillation import Distillation
from lowbit.methods.equalization import Equalization
from lowbit.methods.few_samples import FewSamples
from lowbit.methods.gptq import Gptq
from lowbit.methods.nearest import Nearest
from lowbit.methods.ranges import Ranges
from lowbit.methods.run import Chain
from lowbit.methods.task import Method

__all__ = ["METHODS", "method_of"]

METHODS: dict[str, Callable[[], Method]] = {
    "auto": Auto,
    "best": Best,
    "nearest": Nearest,
    "bias_correction": BiasCorrection,
    "ranges": Ranges,
    "equalization": Equalization,
    "activation_equalization": ActivationEqualization,
    "channel_splitting": ChannelSplitting,
    "batch_norm": BatchNormReestimation,
    "gptq": Gptq,
    "coordinate_descent": CoordinateDescent,
    "adaround": AdaRound,
    "blocks": BlockReconstruction,
    "distillation": Distillation,
    "few_samples": FewSamples,
}
"""Name -> what makes the method with its default hyper-parameters."""


def method_of(given: str | Method | Sequence[str | Method]) -> Method:
    """A method by its name, as it is, or several that are carried out one after the other.  Raises ConfigError."""
    if isinstance(given, str):
        if given not in METHODS:
            raise ConfigError(f"no method {given!r}; known: {', '.join(METHODS)}, or a method such as lowbit.AdaRound()")
        return METHODS[given]()
    if isinstance(given, Sequence) and len(given) == 1:
        return method_of(given[0])
    if isinstance(given, Sequence) and given:
        return Chain(tuple(method_of(one) for one in given))
    if not callable(given) or isinstance(given, type):
        raise ConfigError(
            f"a method is a name ({', '.join(METHODS)}), such as lowbit.AdaRound(), or a list of these, not {given!r}"
        )
    return given
