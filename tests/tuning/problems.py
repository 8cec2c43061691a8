"""Small convolutions to tune, and decisions about them."""

from __future__ import annotations

import numpy as np

from lowbit.kernels.conv2d.cases import Shape
from lowbit.kernels.conv2d.selection.decide import Request, decide
from lowbit.kernels.conv2d.selection.decision import Decision, Key
from lowbit.kernels.conv2d.selection.problem import ConvProblem
from lowbit.targets import Target
from lowbit.tuning.trial import Trial

SHAPE = Shape(32, 48, 6, 6, kernel=(3, 3), stride=(2, 2), padding=(1, 1, 1, 1))


def small(limit: int = 127, weight: str = "i8", shape: Shape = SHAPE) -> tuple[ConvProblem, np.ndarray]:
    """A u8 problem with weights up to ``limit`` and both extremes present."""
    w = np.random.default_rng(0).integers(-limit, limit + 1, shape.weight_shape)
    w[0], w[-1] = -limit, limit
    return shape.problem("u8", weight, 255), w


def request(target: Target, limit: int = 127, shape: Shape = SHAPE) -> Request:
    """What the database is asked for this problem."""
    return requested(*small(limit, shape=shape), target)


def requested(problem: ConvProblem, weights: np.ndarray, target: Target) -> Request:
    asked: list[Request] = []

    class Recorder:
        def find(self, request: Request) -> None:
            asked.append(request)

        def refuse(self, request: Request, decision: Decision) -> None:
            raise AssertionError

    decide(problem, weights, target, Recorder())
    return asked[0]


def decision(mr: int = 2, form: str = "u8_vnni", nr: int = 16, algorithm: str = "direct") -> Decision:
    return Decision(algorithm, form, mr, nr, 3, 1)


def trial(key: str | Key = "k", mr: int = 2, rung: int = 0, ratio: float = 0.5, threads: int = 2) -> Trial:
    return Trial(key if isinstance(key, Key) else Key(key, ""), threads, decision(mr), rung, 1000.0 * ratio, ratio)
