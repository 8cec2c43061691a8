"""What a machine can do."""

from lowbit.targets.table import TARGETS, Target, find_target

__all__ = ["TARGETS", "Target", "find_target"]
