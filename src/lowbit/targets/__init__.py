"""What a machine can do."""

from lowbit.targets.table import TARGETS, TECHNIQUES, Target, find_target, techniques

__all__ = ["TARGETS", "TECHNIQUES", "Target", "find_target", "techniques"]
