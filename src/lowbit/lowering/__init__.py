"""From the quantized graph to a Program: layouts, kernel choice, packed weights, memory plan."""

from lowbit.lowering.lower import lower
from lowbit.lowering.printer import print_program
from lowbit.lowering.program import Program

__all__ = ["Program", "lower", "print_program"]
