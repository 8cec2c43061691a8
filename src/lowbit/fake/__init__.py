"""Integer graphs in torch, with gradients: the oracle's semantics, and fake-quantization modules that run them."""

from lowbit.fake.execute import execute

__all__ = ["execute"]
