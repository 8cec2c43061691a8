"""Methods that find the numbers of an integer network: rounding, scales and biases, from calibration samples."""

from lowbit.methods.activation_equalization import ActivationEqualization
from lowbit.methods.adaround import AdaRound
from lowbit.methods.auto import Auto
from lowbit.methods.batch_norm import BatchNormReestimation
from lowbit.methods.best import Best
from lowbit.methods.bias_correction import BiasCorrection
from lowbit.methods.block_reconstruction import BlockReconstruction
from lowbit.methods.channel_splitting import ChannelSplitting
from lowbit.methods.coordinate_descent import CoordinateDescent
from lowbit.methods.distillation import Distillation
from lowbit.methods.equalization import Equalization
from lowbit.methods.few_samples import FewSamples
from lowbit.methods.gptq import Gptq
from lowbit.methods.nearest import Nearest
from lowbit.methods.plan import QuantizationPlan
from lowbit.methods.ranges import Ranges
from lowbit.methods.run import Chain
from lowbit.methods.table import METHODS, method_of
from lowbit.methods.task import Method, Step, Task, begin

__all__ = [
    "METHODS",
    "ActivationEqualization",
    "AdaRound",
    "Auto",
    "BatchNormReestimation",
    "Best",
    "BiasCorrection",
    "BlockReconstruction",
    "Chain",
    "ChannelSplitting",
    "CoordinateDescent",
    "Distillation",
    "Equalization",
    "FewSamples",
    "Gptq",
    "Method",
    "Nearest",
    "QuantizationPlan",
    "Ranges",
    "Step",
    "Task",
    "begin",
    "method_of",
]
