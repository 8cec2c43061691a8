"""Methods that find the numbers of an integer network: rounding, scales and biases, from calibration samples."""

from lowbit.methods.adaround import AdaRound
from lowbit.methods.auto import Auto
from lowbit.methods.nearest import Nearest
from lowbit.methods.plan import QuantizationPlan
from lowbit.methods.run import Chain
from lowbit.methods.table import METHODS, method_of
from lowbit.methods.task import Method, Step, Task, begin

__all__ = ["METHODS", "AdaRound", "Auto", "Chain", "Method", "Nearest", "QuantizationPlan", "Step", "Task", "begin", "method_of"]
