"""What to evaluate: a network, configurations, data.  Names are checked before any work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from lowbit.data import Preprocessing
from lowbit.errors import ConfigError

if TYPE_CHECKING:
    from lowbit.quantization import QuantizationConfig

__all__ = ["CALIBRATION_IMAGES", "SHARE", "EvalPlan"]

CALIBRATION_IMAGES = 500
SHARE = 0.2


@dataclass(frozen=True)
class EvalPlan:
    """``network``: a name in zoo.pretrained.PRETRAINED or zoo.NETWORKS, or ``module:factory``; ``configs``: forms of
    ``quantization.parse_config``, None: 8/int8, or of a file that somebody quantized what it holds; ``limit``:
    samples that judge, None = all; ``calibration``: samples that calibrate, at most.

    ``data``: what lowbit.data.open_data takes; None: the images of a pretrained network.  ``calibration_data``: the same for
    calibration; None: every k-th sample of ``data``, k = 1 / ``share``, which then does not judge.  ``preprocessing``: None =
    the network's own.  ``labels``: file of labels for a folder of images.  ``batch``: of the compiled networks.  ``input_shape``:
    for a factory that returns a module only.  ``method``: of ``lowbit.compile``, several
    joined by commas.  ``quantizations``: what the ``configs``
    mean.  Making one checks every name.  Raises ConfigError.
    """

    network: str
    configs: tuple[str, ...] | None
    limit: int | None = None
    calibration: int = CALIBRATION_IMAGES
    threads: int | None = None
    target: str = "native"
    data: str | None = None
    calibration_data: str | None = None
    share: float = SHARE
    preprocessing: Preprocessing | None = None
    labels: Path | None = None
    batch: int | None = None
    input_shape: tuple[int, ...] | Mapping[str, tuple[int, ...]] | None = None
    method: str = "auto"
    quantizations: Mapping[str, QuantizationConfig | None] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        from lowbit.methods import method_of
        from lowbit.quantization import parse_config
        from lowbit.targets import find_target
        from lowbit.zoo.pretrained import PRETRAINED, data_root

        if self.data is None and self.network not in PRETRAINED:
            raise ConfigError(
                f"no pretrained network {self.network!r}; known: {', '.join(PRETRAINED)}; for any other say its images: --data"
            )
        if self.configs is not None and not self.configs:
            raise ConfigError("no configuration to evaluate; write for example 8/int8")
        parsed = {config: parse_config(config) for config in self.configs or ("8/int8",)}
        object.__setattr__(self, "quantizations", MappingProxyType(parsed))
        counts = {"limit": self.limit, "calibration": self.calibration, "batch": self.batch}
        if any(count is not None and count < 1 for count in counts.values()):
            raise ConfigError(
                f"at least one image is needed, got {', '.join(f'{k} {v}' for k, v in counts.items() if v is not None)}"
            )
        find_target(self.target)
        method_of(self.methods)
        if self.network in PRETRAINED and PRETRAINED[self.network].needs_data and data_root() is None:
            raise ConfigError("no images: set LOWBIT_DATA (or --data) to the folder that holds models/ and dev/")

    @property
    def methods(self) -> list[str]:
        """``method`` as a list of names."""
        return [part.strip() for part in self.method.split(",") if part.strip()]
