"""PyTorch modules in, float graphs out; and the float graph evaluated with torch.

The names below are resolved on first use, so that importing the package does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lowbit.frontend.evaluation import evaluate
    from lowbit.frontend.importing import import_model

__all__ = ["evaluate", "import_model"]

_HOME = {"evaluate": "lowbit.frontend.evaluation", "import_model": "lowbit.frontend.importing"}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
