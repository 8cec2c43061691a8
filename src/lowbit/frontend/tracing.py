"""``torch.export`` without its noise, and its failures in terms of the user's model."""

from __future__ import annotations

import io
import logging
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout

import torch

from lowbit.errors import UnsupportedOperation
from lowbit.frontend.call import source_line

__all__ = ["export"]


def export(model: torch.nn.Module, examples: tuple[torch.Tensor, ...]) -> torch.export.ExportedProgram:
    """The program that ``model`` runs on these inputs.

    Raises UnsupportedOperation (one line: what, where, what to change) where it has none.
    """
    try:
        with _quiet(), _without_fast_paths(), torch.compiler.set_stance("force_eager"):  # parts that went through torch.compile
            return torch.export.export(model, examples, strict=False)
    except UnsupportedOperation:
        raise
    except Exception as error:
        where = source_line("".join(traceback.format_tb(error.__traceback__)))
        place = f" at {where}" if where else ""
        raise UnsupportedOperation(f"{type(model).__name__} cannot be traced{place}: {_reason(model, error)}") from error


@contextmanager
def _without_fast_paths() -> Iterator[None]:
    """Attention as the operations that it is made of, not as one of torch's own for evaluation."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


@contextmanager
def _quiet() -> Iterator[None]:
    """Failures of tracing are logged and printed at length; the error that is raised says it once.

    What the model prints goes to the standard error, since the standard output belongs to the caller.
    """
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    shown, graph = io.StringIO(), ""
    try:
        with redirect_stdout(shown), redirect_stderr(shown), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The tensor attribute")  # weights computed by hooks, as weight_norm's
            yield
    except Exception as error:
        graph = f"{getattr(error, 'partial_fx_graph', '')}\n"
        raise
    finally:
        logging.disable(level)
        sys.stderr.write(shown.getvalue().replace(graph, "") if graph else shown.getvalue())


def _reason(model: torch.nn.Module, error: Exception) -> str:
    if isinstance(model, torch.jit.ScriptModule):
        return "it was made by torch.jit, which cannot be traced again; give the module it was made of"
    if type(error).__name__.startswith("GuardOnDataDependent"):
        return (
            "control flow that depends on values: the path taken (or a size) is known only at run time, and a compiled network "
            "has one; compute both paths and mix them by arithmetic, or decide outside the network"
        )
    why = f"{type(error).__name__}: {str(error).strip().split(chr(10))[0]}"
    if others := _not_float32(model):
        return f"{why}; {others}: call model.float()"
    return f"{why}; the network must run on these inputs, with control flow that does not depend on values"


def _not_float32(model: torch.nn.Module) -> str:
    """``the model's parameters are torch.bfloat16 (0.weight and 5 more), ...``; "" if all are float32."""
    tensors = [*model.named_parameters(), *model.named_buffers()]
    odd = [(name, tensor.dtype) for name, tensor in tensors if tensor.is_floating_point() and tensor.dtype != torch.float32]
    if not odd:
        return ""
    more = f" and {len(odd) - 1} more" if len(odd) > 1 else ""
    return f"the model's parameters are {odd[0][1]} ({odd[0][0]}{more}), its inputs torch.float32"
