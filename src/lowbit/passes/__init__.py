"""Float graph -> canonical float graph, in small named steps."""

from lowbit.passes.pipeline import PASSES, Pass, canonicalize

__all__ = ["PASSES", "Pass", "canonicalize"]
