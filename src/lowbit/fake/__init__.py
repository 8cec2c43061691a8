"""Integer graphs in torch, with gradients: the oracle's semantics, and fake-quantization modules that run them."""

from lowbit.fake.descriptor import QuantDescriptor
from lowbit.fake.execute import execute
from lowbit.fake.finetune import FinetuneReport, finetune
from lowbit.fake.network import FakeQuantized
from lowbit.fake.quantizer import TensorQuantizer

__all__ = ["FakeQuantized", "FinetuneReport", "QuantDescriptor", "TensorQuantizer", "execute", "finetune"]
