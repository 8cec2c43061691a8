"""A network as a program of its own: kernels, tables, runtime, weights and a main function in one static file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lowbit.backend.build import lay_out
from lowbit.backend.cache import read_entry, write_entry
from lowbit.backend.driver import c_text, described_tensors, prefix_of
from lowbit.backend.toolchain import C_FLAGS, Compiler, find_compiler
from lowbit.backend.weight_file import HEADER_BYTES
from lowbit.files import cache_folder, scratch_folder
from lowbit.kernels.spec import KernelSpec
from lowbit.lowering.program import Program
from lowbit.targets import Target

__all__ = ["build_program", "program_source"]

_FOLDER = Path(__file__).resolve().parent / "program_c"
_LINK = ("-static", "-pthread", "-Wl,--gc-sections", "-Wl,-z,noexecstack", "-Wl,--build-id=none")

# The weights stay in the file until the network is opened: pages of a read-only section.
_WEIGHTS = f"""\
.section .rodata.lowbit_weights, "a"
.balign {HEADER_BYTES}
.global lowbit_weights, lowbit_weights_end
.hidden lowbit_weights, lowbit_weights_end
lowbit_weights:
.incbin "weights.bin"
lowbit_weights_end:
.section .note.GNU-stack, "", %progbits
"""


def _tensors(kind: str, tensors: list[dict[str, Any]]) -> str:
    rows = []
    for tensor in tensors:
        shape, elements = tensor["shape"], 1
        for extent in shape:
            elements *= extent
        extents, positions = ", ".join(map(str, shape)) or "0", int(tensor["dtype"] == "int64")
        rows.append(f"    {{{c_text(tensor['name'])}, {len(shape)}, {{{extents}}}, {elements}u, {positions}}},\n")
    return f"static const struct tensor {kind}s[] = {{\n{''.join(rows)}}};\n"


def program_source(program: Program, target: Target, prefix: str) -> str:
    """The C source of ``struct program`` (program.h) for ``program``."""
    operations = "".join(
        f"    {{{c_text(call.layer)}, {c_text(call.spec.symbol(target.name))}, {call.macs}u}},\n" for call in program.calls
    )
    tensors = described_tensors(program)
    features = "".join(f"{c_text(name)}, " for name in sorted(target.features))
    return f"""/* Generated: the network {prefix} as a program. */
#include "program.h"

struct lb_network *{prefix}_open_memory(const void *weights, size_t size, int threads);
int {prefix}_profile(struct lb_network *net, const float *const *in, float *const *out, uint64_t *ns);
int {prefix}_threads(const struct lb_network *net);
void {prefix}_close(struct lb_network *net);
const char *{prefix}_error(void);
extern const unsigned char lowbit_weights[], lowbit_weights_end[];

static const char *const features[] = {{{features}NULL}};
{_tensors("input", tensors["inputs"])}
{_tensors("output", tensors["outputs"])}
static const struct operation operations[] = {{
{operations}}};
const struct program program = {{
    {c_text(program.name)}, {c_text(target.name)}, features,
    {len(program.input_shapes)}, {len(program.output_shapes)}, {len(program.calls)},
    inputs, outputs, operations, lowbit_weights, lowbit_weights_end,
    {prefix}_open_memory, {prefix}_profile, {prefix}_threads, {prefix}_close, {prefix}_error,
}};
"""


def _main_object(compiler: Compiler) -> bytes:
    """The written part, compiled once a compiler."""
    key = hashlib.sha256(repr((compiler, C_FLAGS)).encode())
    sources = sorted(_FOLDER.glob("*.[ch]"))
    for source in sources:
        key.update(source.name.encode() + b"\0" + source.read_bytes())
    path = cache_folder() / "runtime" / f"{key.hexdigest()}.o"
    if (known := read_entry(path)) is not None:
        return known
    with scratch_folder() as folder:
        written = [source for source in sources if source.suffix == ".c"]
        for source in written:
            compiler.run([*C_FLAGS, "-c", source, "-o", f"{source.stem}.o"], folder)
        compiler.run(["-r", "-nostdlib", "-o", "whole.o", *(f"{source.stem}.o" for source in written)], folder)
        content = (folder / "whole.o").read_bytes()
    write_entry(path, content)
    return content


def build_program(
    program: Program, kernel_objects: Mapping[KernelSpec, bytes], weights: bytes, target: Target, *, strip: bool = False
) -> bytes:
    """A static executable (ELF) that runs the network on files; ``--help`` of it lists its options.

    ``weights``: the weight file of ``program``.  Kernels keep their names for profilers unless ``strip``.
    Raises ToolMissing without a C compiler, LowbitError with the compiler's words if it fails.
    """
    compiler = find_compiler(target, static=True)
    prefix = prefix_of(program.name)
    with scratch_folder() as folder:
        objects = lay_out(program, kernel_objects, target, prefix, compiler, folder)
        (folder / "weights.bin").write_bytes(weights)
        (folder / "weights.S").write_text(_WEIGHTS)
        (folder / "program.c").write_text(program_source(program, target, prefix))
        (folder / "main.o").write_bytes(_main_object(compiler))
        compiler.run([*C_FLAGS, f"-I{_FOLDER}", "-c", "program.c", "-o", "program.o"], folder)
        compiler.run(["-c", "weights.S", "-o", "weights.o"], folder)
        symbols = ("-Wl,--strip-all",) if strip else compiler.strip_debug
        compiler.run([*_LINK, *symbols, "-o", "program", "main.o", "program.o", "weights.o", *objects, "-lm"], folder)
        return (folder / "program").read_bytes()
