"""Grids are read from the TensorIR, and a kind without a kernel is named."""

from __future__ import annotations

import pytest
from tvm.script import tirx as T
from tvm.tirx.script import builder as TB

from lowbit.backend.codegen import prim_func
from lowbit.kernels.gpu.function import gpu_kernel
from lowbit.kernels.gpu.launch import Launch, is_launched, launch_of
from lowbit.kernels.gpu.table import GPU_KERNELS, gpu_function
from lowbit.kernels.named import named
from lowbit.kernels.table import KERNELS
from lowbit.targets import TARGETS

GPU = TARGETS["cuda-sm80"]


@pytest.mark.parametrize(
    "launch", [Launch((7, 1, 1), 128), Launch((3, 5, 1), 64), Launch((1, 1, 9), 32), Launch((2, 3, 4), 256, shared_bytes=1024)]
)
def test_a_launch_is_read_back(launch: Launch) -> None:
    with gpu_kernel("tried", launch, o=("uint32", 1 << 20)) as k:
        if launch.shared_bytes:
            memory = TB.alloc_buffer((launch.shared_bytes // 4,), "uint32", scope="shared.dyn")
            TB.buffer_store(memory, T.uint32(1), [k.thread])
        TB.buffer_store(k.o, T.cast(k.block[1] + k.block[2], "uint32"), [k.index])
    assert is_launched(k.func)
    assert launch_of(k.func) == launch


def test_functions_of_ranges_are_none_of_a_gpu() -> None:
    case = next(iter(named(KERNELS["pool"].cases)(TARGETS["x86-64"])))
    func = prim_func(case.spec, TARGETS["x86-64"])
    assert not is_launched(func)
    with pytest.raises(ValueError, match="it is none of a GPU"):
        launch_of(func)


@pytest.mark.parametrize("kind", GPU_KERNELS)
def test_kinds_of_the_table_have_threads(kind: str) -> None:
    assert kind in KERNELS
    for case in list(named(KERNELS[kind].cases)(GPU))[::8]:
        launch = launch_of(gpu_function(case.spec, GPU))
        assert launch.count >= 1
        assert launch.threads % 32 == 0
