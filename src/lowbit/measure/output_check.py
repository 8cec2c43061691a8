"""Is the output right?  No speed is shown without the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lowbit.measure.accuracy import cosine, response

__all__ = ["OutputCheck", "check_outputs", "dead_channels"]


@dataclass(frozen=True)
class OutputCheck:
    """Outputs of one configuration beside float ones on the same inputs.

    ``exact``: equal to the oracle in every element; None where float arithmetic has no single answer.
    ``max_error``: largest absolute difference from the float reference.  ``cosine``: of all outputs.
    ``correlation``: the cosine of the outputs less their mean over the inputs, i.e. of what depends on
    the input at all; a network that ignores its input keeps a fine cosine and loses this one.
    ``top1_agreement``: share of inputs with the same largest output.  ``dead_channels``: output channels
    of convolutions and linear layers that are constant over all inputs and positions (None: unknown).
    ``dead_layers``: layers all of whose channels are.  ``constant``: the outputs do not depend on the input.
    """

    exact: bool | None
    max_error: float
    cosine: float
    correlation: float
    top1_agreement: float
    finite: bool = True
    constant: bool = False
    dead_channels: int | None = None
    dead_layers: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """ "" when the network lives, else what is wrong with it."""
        if self.exact is False:
            return "WRONG: differs from the oracle"
        if not self.finite:
            return "WRONG: output is not finite"
        if self.constant:
            return "DEAD: output does not depend on the input"
        if self.dead_layers:
            more = f" and {len(self.dead_layers) - 1} more" if len(self.dead_layers) > 1 else ""
            return f"DEAD: every channel of {self.dead_layers[0]}{more} is constant"
        return ""


def dead_channels(values: Sequence[np.ndarray]) -> int:
    """Channels (axis 1) of one tensor that hold a single value over all ``values`` (one array an input),
    images and positions."""
    flat = np.concatenate([np.moveaxis(np.asarray(v), 1, 0).reshape(v.shape[1], -1) for v in values], axis=1)
    return int(np.sum(flat.min(1) == flat.max(1)))


def check_outputs(
    outputs: Sequence[np.ndarray],
    reference: Sequence[np.ndarray],
    *,
    oracle: Sequence[np.ndarray] | None = None,
    layers: Mapping[str, Sequence[np.ndarray]] | None = None,
) -> OutputCheck:
    """``outputs`` and ``reference`` (float network): one (batch, ...) array an input, two inputs or more.

    ``oracle``: the exact answers to the first inputs (as many as there are); None for float arithmetic.
    ``layers``: layer -> its output on several inputs, axis 1 being the channels.
    """
    with np.errstate(invalid="ignore", over="ignore"):  # infinite outputs are a finding, not a warning
        return _check(outputs, reference, oracle, layers)


def _check(
    outputs: Sequence[np.ndarray],
    reference: Sequence[np.ndarray],
    oracle: Sequence[np.ndarray] | None,
    layers: Mapping[str, Sequence[np.ndarray]] | None,
) -> OutputCheck:
    got, want = np.concatenate(outputs), np.concatenate(reference)
    finite = bool(np.isfinite(got).all())
    dead = {name: (dead_channels(values), values[0].shape[1]) for name, values in (layers or {}).items()}
    rows_got, rows_want = got.reshape(len(got), -1), want.reshape(len(want), -1)
    return OutputCheck(
        exact=None if oracle is None else all(np.array_equal(a, b) for a, b in zip(outputs, oracle, strict=False)),
        max_error=float(np.abs(got.astype(np.float64) - want).max()),
        cosine=cosine(got, want),
        correlation=cosine(response(got), response(want)),
        top1_agreement=float(np.mean(rows_got.argmax(1) == rows_want.argmax(1))),
        finite=finite,
        constant=finite and len(got) > 1 and bool(np.all(got == got[:1])),
        dead_channels=None if layers is None else sum(count for count, _ in dead.values()),
        dead_layers=tuple(name for name, (count, total) in dead.items() if count == total),
    )
