"""One tensor's quantizer: an ``nn.Module`` that hooks attach to the step that makes or reads the tensor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lowbit.fake.descriptor import QuantDescriptor
from lowbit.fake.grid import Grid, Sum, finish, grid_of
from lowbit.fake.operations import Site
from lowbit.fake.straight_through import round_, sign_of
from lowbit.numerics import QParams
from lowbit.numerics.groups import group_factor
from lowbit.quantization.weights import levels

__all__ = ["TensorQuantizer"]


class TensorQuantizer(nn.Module):
    """Rounds one tensor to integers: the weights of a layer, or a value that flows between steps.

    ``descriptor``: what was asked for; assigning one, or ``bits``, ``amax``, takes effect at the next run, without a new trace.
    ``params``: the type, scale and zero point in force.  ``scale``: a Parameter, learned in fine-tuning.
    ``asked``: whether numbers were asked for that are not in force yet.
    ``soft``: of weights, how much of each real weight training computes with, beside 1 - ``soft`` of its rounded one.
    ``enable()``, ``disable()``: a disabled quantizer lets real numbers through.
    """

    def __init__(self, name: str, params: QParams, descriptor: QuantDescriptor, weights: bool) -> None:
        super().__init__()
        self.name, self.weights, self.enabled = name, weights, True
        self._descriptor = descriptor
        self.by_hand = False  # whether the descriptor was assigned
        self.soft = 0.0
        self.hold(params)

    def hold(self, params: QParams) -> None:
        """Takes these numbers."""
        self._params, self.asked = params, False
        present = self._parameters.get("scale")
        device = None if present is None else present.device
        self.scale: nn.Parameter = nn.Parameter(torch.from_numpy(np.array(params.scale, np.float32)).to(device))

    @property
    def params(self) -> QParams:
        return replace(self._params, scale=self.scale.detach().cpu().numpy().copy())

    @property
    def descriptor(self) -> QuantDescriptor:
        return self._descriptor

    @descriptor.setter
    def descriptor(self, descriptor: QuantDescriptor) -> None:
        descriptor.qtype(self.weights)
        self._descriptor, self.asked, self.by_hand = descriptor, True, True

    @property
    def bits(self) -> int:
        return self._params.qtype.bits

    @bits.setter
    def bits(self, bits: int) -> None:
        self.descriptor = replace(self._descriptor, bits=bits, amax=None, frac_width=None, top=None)

    @property
    def unsigned(self) -> bool:
        return not self._params.qtype.signed

    @property
    def axis(self) -> int | None:
        return self._params.axis

    @property
    def amax(self) -> Tensor:
        """scale * qmax, shape () or (C,)."""
        return self.scale.detach() * max(self._params.qtype.qmax, 1)

    @amax.setter
    def amax(self, amax: float | Sequence[float]) -> None:
        given = tuple(map(float, amax)) if isinstance(amax, Sequence) else float(amax)
        self.descriptor = replace(self._descriptor, bits=self.bits, amax=given, frac_width=None)

    def enable(self) -> None:
        self.enabled = True

    def disable(self) -> None:
        self.enabled = False

    def grid(self) -> Grid:
        """The grid with the learned scale."""
        return grid_of(self._params, self.scale)

    def integers(self, x: Tensor) -> Tensor:
        """Weights (O, I, ...) -> their integers, float32: clamp(rint(w / scale)), b1: the sign; factors of groups are not in
        them.  Gradients pass straight through."""
        qtype = self._params.qtype
        step = self._shaped(x)
        if qtype.bipolar:
            return sign_of(x, step)
        return round_(x / step).clamp(*levels(qtype))

    def factor(self, shape: tuple[int, ...]) -> Tensor | float:
        """Integer factor of each weight's group; 1 without groups."""
        factor = group_factor(self._params, shape)
        return 1.0 if factor is None else torch.from_numpy(factor.astype(np.float32)).to(self.scale.device)

    def _shaped(self, x: Tensor) -> Tensor:
        return self.scale.reshape((-1,) + (1,) * (x.dim() - 1)) * self.factor(tuple(x.shape))

    def forward(self, x: Tensor) -> Tensor:
        """Real numbers -> the nearest that the quantizer has, with straight-through gradients; ``x`` itself when disabled."""
        if not self.enabled:
            return x
        if self.weights:
            return self.integers(x) * self._shaped(x)
        qtype, zero = self._params.qtype, self._params.zero_point
        if qtype.bipolar:
            return sign_of(x, self.scale) * self.scale
        return round_(x / self.scale).clamp(qtype.qmin - zero, qtype.qmax - zero) * self.scale

    def after(self, step: nn.Module, args: tuple[Any, ...], result: Tensor | Sum) -> Tensor | Sum:
        """Forward hook of the step whose result this quantizes."""
        site: Site = args[0]
        return finish(result, site.node, site.out) if self.enabled and isinstance(result, Sum) else result

    def before(self, step: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """Forward pre-hook of a layer: while training, its weights are rounded as they are now."""
        site, values = args
        if not self.training:
            return None
        weight = step.get_parameter("weight")
        if site.grids[1] is None:  # real arithmetic, on rounded weights where this is enabled
            return site, [values[0], self(weight), *values[2:]]
        steps = self.integers(weight)
        if self.soft:
            steps = steps + self.soft * (weight / self._shaped(weight) - steps)
        return site, [values[0], steps * self.factor(tuple(weight.shape)), *values[2:]]

    def extra_repr(self) -> str:
        return f"{self.name}: {self.params}{'' if self.enabled else ', disabled'}"
