"""A Program for a GPU as C tables (runtime_c/cuda/cuda_tables.h), its kernels included."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import numpy as np

from lowbit.backend.address_tables import address_tables
from lowbit.backend.cuda.object import CudaObject
from lowbit.backend.driver import (
    c_addresses,
    c_array,
    c_fill,
    c_layers,
    c_long_text,
    c_ref,
    c_sizes,
    c_text,
    identity,
    info_text,
    network_header,
)
from lowbit.backend.weight_file import plan_weight_file
from lowbit.kernels.spec import KernelSpec
from lowbit.lowering.program import Program
from lowbit.targets import Target

__all__ = ["CUDA_API", "cuda_header", "cuda_source", "kernel_files"]

CUDA_API = ("run_device", "set_device", "device")
"""What libraries of networks on GPUs export beside ``driver.API``."""

_DECLARATIONS = """\
/* Compute on the GPU: `inputs` and `outputs` are addresses in its memory (of CUDA tensors, say), and the work is queued on
 * `stream`, a cudaStream_t or CUstream, NULL for the default one.  Returns at once; the outputs are there when the stream has
 * come so far. */
int lowbit_run_device(lowbit_network *net, const void *const *inputs, void *const *outputs, void *stream);

/* The GPU of networks that this thread opens from now on, counted from 0, which is also the default.  -1: there is none of
 * that number. */
int lowbit_set_device(int device);
int lowbit_device(const lowbit_network *net);

"""


def kernel_files(kernels: Mapping[KernelSpec, CudaObject]) -> dict[str, bytes]:
    """Files that :func:`cuda_source` includes: what is too long for C literals."""
    files: dict[str, bytes] = {}
    for i, kernel in enumerate(kernels.values()):
        files[f"kernel{i}.cubin"] = kernel.cubin
        files[f"kernel{i}.ptx"] = kernel.ptx + b"\0"
        files[f"kernel{i}.cu"] = kernel.text.encode() + b"\0"
    return files


def _included(name: str, alignment: int) -> str:
    """A symbol at the bytes of a file, by the assembler."""
    label = name.replace(".", "_")
    return (
        f'asm(".section .rodata\\n.balign {alignment}\\n.global {label}\\n.hidden {label}\\n{label}:\\n'
        f'.incbin \\"{name}\\"\\n.size {label}, .-{label}\\n.previous\\n");\nextern const unsigned char {label}[];\n'
    )


def _bytes_of(shapes: tuple[tuple[int, ...], ...], types: tuple[str, ...]) -> list[str]:
    return [f"{prod(shape) * np.dtype(dtype).itemsize}u" for shape, dtype in zip(shapes, types, strict=True)]


def cuda_source(program: Program, kernels: Mapping[KernelSpec, CudaObject], target: Target, prefix: str) -> str:
    """The C source with the tables of ``program`` and its API under ``prefix``; includes :func:`kernel_files`."""
    plan, addresses = plan_weight_file(program), address_tables(program)
    number = {spec: i for i, spec in enumerate(kernels)}
    fills = [c_fill(fill) for call in program.calls for fill in call.fills]
    operations, first, scratch = [], 0, 0
    for call in program.calls:
        launch = kernels[call.spec].launch
        grid = launch.blocks(call.units)
        refs = ", ".join(map(c_ref, call.args))
        where = f"{number[call.spec]}, {call.units}, {{{grid[0]}, {grid[1]}, {grid[2]}}}, {first}, {len(call.fills)}"
        operations.append(f"{{{{{refs}}}, {where}}}")
        first += len(call.fills)
        scratch = max(scratch, prod(grid) * launch.threads * launch.scratch_bytes)
    rows, files = [], ""
    for i, kernel in enumerate(kernels.values()):
        at = kernel.launch
        files += _included(f"kernel{i}.cubin", 64) + _included(f"kernel{i}.ptx", 1) + _included(f"kernel{i}.cu", 1)
        numbers = f"{at.threads}, {at.shared_bytes}, {int(at.per_unit > 0)}, {at.scratch_bytes}"
        rows.append(
            f"{{{c_text(kernel.symbol)}, kernel{i}_cubin, (const char *)kernel{i}_ptx, (const char *)kernel{i}_cu, {numbers}}}"
        )
    major, minor = target.capability
    version = next((kernel.nvrtc for kernel in kernels.values()), "")
    floats = ("float32",) * len(program.input_shapes)
    return f"""/* Generated: the network {prefix}, for GPUs. */
#include "cuda/cuda_tables.h"

{files}
{c_array("struct lb_fill", "fills", fills)}
{c_array("struct lb_gpu_op", "operations", operations)}
{c_array("struct lb_gpu_kernel", "kernels", rows)}
{c_addresses(addresses.data)}
#define ADDRESSES (const uint8_t *)addresses
{c_array("struct lb_weights", "weights", c_layers(program, plan, addresses))}
{c_array("char *const", "features", [*map(c_text, sorted(target.features)), "0"])}
static const uint64_t input_bytes[] = {{{", ".join([*_bytes_of(program.input_shapes, floats), "0"])}}};
static const uint64_t output_bytes[] = {{{", ".join([*_bytes_of(program.output_shapes, program.types_of_outputs), "0"])}}};
static const struct lb_gpu_tables network = {{
    {{
        {c_text(program.name)}, {c_text(target.name)},
        {c_long_text(info_text(program, target))},
        features, 0, fills, weights, ADDRESSES,
        {c_sizes(program, plan)}, {identity(program)}u,
    }},
    kernels, operations, input_bytes, output_bytes,
    {len(kernels)}, {major}, {minor}, {c_text(version)},
    {len(addresses.data)}u, {scratch}u,
}};

LB_API({prefix}, &network.base)
LB_CUDA_API({prefix})
"""


def cuda_header(program: Program, prefix: str) -> str:
    """``lowbit_network.h`` of a network on a GPU."""
    text = network_header(program, prefix)
    close = "/* Stop the threads, free everything."
    return text.replace(close, _DECLARATIONS.replace("lowbit_", f"{prefix}_") + close, 1)
