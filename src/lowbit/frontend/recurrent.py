"""Recurrent layers are refused when they are reached: tracing would first unroll all their steps."""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from lowbit.frontend.arguments import Arguments
from lowbit.frontend.call import Call, source_line
from lowbit.frontend.refusals import INSTEAD

__all__ = ["refused_at_once"]

_OWN = os.path.dirname(os.path.abspath(__file__)) + os.sep


@contextmanager
def refused_at_once(model: torch.nn.Module) -> Iterator[None]:
    """While this lasts, calling an LSTM, GRU or RNN of the model raises UnsupportedOperation as its operation would."""
    with ExitStack() as hooks:
        for path, module in model.named_modules():
            if isinstance(module, (torch.nn.RNNBase, torch.nn.RNNCellBase)):
                handle = module.register_forward_pre_hook(_refusal(path, type(module).__name__))
                hooks.callback(handle.remove)
        yield


def _refusal(path: str, kind: str) -> Any:
    def refuse(_: torch.nn.Module, args: Any) -> None:
        frames = traceback.extract_stack()[:-1]
        last = max((index for index, frame in enumerate(frames) if frame.filename.startswith(_OWN)), default=-1)
        source = source_line("".join(traceback.format_list(frames[last + 1 :])))
        known = INSTEAD.get(kind, INSTEAD["LSTM"])  # of a class of the user's own, too
        target = f"aten.{kind.lower().replace('cell', '_cell')}.input" if kind in INSTEAD else kind
        Call(kind, target, Arguments({}, {}), ((),), module=path, source=source, layers=(kind,)).refuse(known)

    return refuse
