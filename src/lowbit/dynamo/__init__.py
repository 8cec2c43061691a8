"""``torch.compile(model, backend="lowbit")``: graphs that TorchDynamo captures, compiled and run by lowbit.

Imported by torch through the entry point ``torch_dynamo_backends``.
"""

from __future__ import annotations

from lowbit.dynamo.backend import lowbit

__all__ = ["lowbit"]
