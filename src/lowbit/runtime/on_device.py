"""Calls with CUDA tensors: from their memory to that of new tensors, on torch's current stream, without the host."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from lowbit.errors import InputError

__all__ = ["DeviceNetwork", "is_on_gpu", "run_on_gpu"]


class DeviceNetwork(Protocol):
    """What backend.cuda.network.CudaNetwork has beside ``OpenNetwork``."""

    @property
    def device(self) -> int: ...

    def run_device(self, inputs: Sequence[int], outputs: Sequence[int], stream: int = 0) -> None: ...


def is_on_gpu(value: Any) -> bool:
    """Whether it is a torch tensor in the memory of a GPU."""
    torch: Any = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor) and value.device.type == "cuda"


def run_on_gpu(name: str, network: Any, info: Mapping[str, Any], inputs: Sequence[Any]) -> tuple[Any, ...]:
    """``inputs``: tensors of which at least one is on a GPU; ``info``: the network's "inputs" and "outputs".

    Raises InputError where they are not all on the GPU of the network, or of another shape or type."""
    torch: Any = sys.modules["torch"]
    if not hasattr(network, "run_device"):
        raise InputError(f"{name} was compiled for a CPU; give it tensors there (x.cpu()), or compile it with target='cuda'")
    if len(inputs) != len(info["inputs"]):
        raise InputError(f"{name} takes {len(info['inputs'])} inputs, {len(inputs)} given")
    tensors = []
    for i, (given, want) in enumerate(zip(inputs, info["inputs"], strict=True)):
        where, shape = f"{name}, input {i} ({want['name']})", tuple(want["shape"])
        if not is_on_gpu(given) or (given.device.index or 0) != network.device:
            place = given.device if isinstance(given, torch.Tensor) else type(given).__name__
            raise InputError(f"{where}: expected a tensor on cuda:{network.device} like the others, got one on {place}")
        if given.dtype != torch.float32 or tuple(given.shape) != shape or given.layout != torch.strided:
            raise InputError(f"{where}: expected a dense float32 of shape {shape}, got {given.dtype} of {tuple(given.shape)}")
        tensors.append(given.contiguous())
    where_to = tensors[0].device
    outputs = [torch.empty(tuple(t["shape"]), dtype=getattr(torch, t["dtype"]), device=where_to) for t in info["outputs"]]
    stream = torch.cuda.current_stream(where_to).cuda_stream
    network.run_device([t.data_ptr() for t in tensors], [t.data_ptr() for t in outputs], stream)
    return tuple(outputs)
