"""A network as files: for C programs, or as a program of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lowbit.backend.build import build_object
from lowbit.backend.program import build_program
from lowbit.backend.toolchain import Compiler, find_ar
from lowbit.errors import ArtifactError
from lowbit.export.parts import parts_of
from lowbit.files import scratch_folder, write_whole
from lowbit.targets.host import host_machine

if TYPE_CHECKING:
    from lowbit.runtime.compiled import Compiled

__all__ = ["export_executable", "export_library", "export_static_library"]

_MAIN = """\
/* Runs {prefix} once: input files of raw float32 values in, values of every output on stdout.
 *
 *     {build}
 *     ./main {prefix}.weights{arguments}
 */
#include <stdio.h>
#include <stdlib.h>

#include "{prefix}.h"

static const size_t input_elements[] = {{{inputs}}};
static const size_t output_elements[] = {{{outputs}}};
static const int output_positions[] = {{{positions}}}; /* int64_t, not float */
enum {{ INPUTS = {upper}_INPUTS, OUTPUTS = {upper}_OUTPUTS }};

int main(int argc, char **argv) {{
    const float *inputs[INPUTS];
    float *outputs[OUTPUTS];
    if (argc != 2 + INPUTS) {{
        fprintf(stderr, "usage: %s {prefix}.weights{arguments}\\n", argv[0]);
        return 2;
    }}
    for (int i = 0; i < INPUTS; i++) {{
        float *values = malloc(input_elements[i] * sizeof *values);
        FILE *file = fopen(argv[2 + i], "rb");
        if (!values || !file || fread(values, sizeof *values, input_elements[i], file) != input_elements[i]) {{
            fprintf(stderr, "%s: cannot read %zu float32 values\\n", argv[2 + i], input_elements[i]);
            return 1;
        }}
        fclose(file);
        inputs[i] = values;
    }}
    for (int i = 0; i < OUTPUTS; i++)
        outputs[i] = malloc(output_elements[i] * (output_positions[i] ? sizeof(int64_t) : sizeof(float)));

    {prefix}_network *net = {prefix}_open(argv[1], 0);
    if (!net || {prefix}_run(net, inputs, outputs)) {{
        fprintf(stderr, "%s\\n", {prefix}_error());
        return 1;
    }}
    for (int i = 0; i < OUTPUTS; i++)
        for (size_t k = 0; k < output_elements[i]; k++)
            if (output_positions[i]) printf("%lld\\n", (long long)((int64_t *)(void *)outputs[i])[k]);
            else printf("%.9g\\n", (double)outputs[i][k]);
    {prefix}_close(net);
    for (int i = 0; i < INPUTS; i++) free((void *)(size_t)inputs[i]);
    for (int i = 0; i < OUTPUTS; i++) free(outputs[i]);
    return 0;
}}
"""

_README = """\
# {name}

Compiled by lowbit {version} for {target}{features}.

| file | |
|---|---|
| `lib{prefix}.so` | the network: kernels, tables, thread pool; needs {needs} only |
| `{prefix}.h` | its interface, documented |
| `{prefix}.weights` | bit-packed weights and constants, read when the network is opened |
| `main.c` | an example |
| `lib{prefix}.a` | the same network for static programs, if `lowbit export` wrote it |

```sh
{build}
{static}
./main {prefix}.weights{arguments}
```

Use either line; the second one is for the static library{elsewhere}.

{tensors}
"""

_GPU_README = """\
# {name}

Compiled by lowbit {version} for {target}{features}.

| file | |
|---|---|
| `lib{prefix}.so` | the network: kernels, tables, runtime; opens NVIDIA's driver (libcuda.so.1) when a network is opened |
| `{prefix}.h` | its interface, documented; `{prefix}_run_device` computes from and to the GPU's memory on a stream |
| `{prefix}.weights` | bit-packed weights and constants, read when the network is opened |
| `main.c` | an example |

```sh
{build}
./main {prefix}.weights{arguments}
```

{tensors}
"""


def _count(shape: list[int]) -> int:
    elements = 1
    for extent in shape:
        elements *= extent
    return elements


def export_library(network: Compiled, folder: Path) -> Path:
    """Write lib<prefix>.so, <prefix>.h, <prefix>.weights, main.c and README.md into ``folder``, which is
    made if need be.  Raises ArtifactError where it cannot be written."""
    manifest = network.manifest
    prefix, target = manifest["prefix"], manifest["target"]
    inputs, outputs = manifest["inputs"], manifest["outputs"]
    gpu = network.target.arch
    machine = host_machine() if gpu else target["triple"].split("-")[0]
    here = machine == host_machine()
    cc = "cc" if here else f"{machine}-linux-gnu-gcc"
    values = {
        "name": manifest["name"],
        "prefix": prefix,
        "upper": prefix.upper(),
        "version": manifest["lowbit"],
        "target": target["name"],
        "features": f" ({', '.join(target['features'])})" if target["features"] else "",
        "inputs": ", ".join(str(_count(t["shape"])) for t in inputs),
        "outputs": ", ".join(str(_count(t["shape"])) for t in outputs),
        "positions": ", ".join(str(int(t["dtype"] == "int64")) for t in outputs),
        "arguments": "".join(f" input{i}.raw" for i in range(len(inputs))),
        "build": f"{cc} -O2 main.c -L. -l{prefix} -Wl,-rpath,'$ORIGIN' -o main",
        "static": f"{cc} -O2 -static main.c lib{prefix}.a -pthread -lm -o main",
        "needs": "libc and NVIDIA's driver" if gpu else "libc",
        "elsewhere": "" if here else f".  On the {machine} machine itself the compiler is `cc`",
        "tensors": "\n".join(
            f"- {kind} {i}: {t['dtype']} {t['shape']} ({t['name']})"
            for kind, tensors in (("input", inputs), ("output", outputs))
            for i, t in enumerate(tensors)
        ),
    }
    files = {
        f"lib{prefix}.so": network.section("library.so"),
        f"{prefix}.h": network.section("lowbit_network.h"),
        f"{prefix}.weights": network.section("weights.bin"),
        "main.c": _MAIN.format(**values).encode(),
        "README.md": (_GPU_README if gpu else _README).format(**values).encode(),
    }
    _write(folder, files)
    return folder


def export_static_library(network: Compiled, folder: Path) -> Path:
    """Write lib<prefix>.a into ``folder``; link it with ``-pthread -lm``.

    Raises ToolMissing (a C compiler, objcopy or ar for the target; TVM if a kernel is not in the cache), ArtifactError
    where it cannot be written.
    """
    parts, prefix = parts_of(network), network.manifest["prefix"]
    ar = Compiler((find_ar(parts.target),), "")
    with scratch_folder() as scratch:
        (scratch / f"{prefix}.o").write_bytes(build_object(parts.program, parts.kernels, parts.target, prefix))
        ar.run(["rcsD", f"lib{prefix}.a", f"{prefix}.o"], scratch)
        _write(folder, {f"lib{prefix}.a": (scratch / f"lib{prefix}.a").read_bytes()})
    return folder / f"lib{prefix}.a"


def export_executable(network: Compiled, path: Path, *, strip: bool = False) -> Path:
    """Write the network as one static program: weights inside, files in, files out; ``path --help`` lists its options.

    ``strip``: without symbols, which profilers need.  Raises as :func:`export_static_library`.
    """
    parts = parts_of(network)
    program = build_program(parts.program, parts.kernels, parts.weights, parts.target, strip=strip)
    _write(path.parent, {path.name: program}, executable=True)
    return path


def _write(folder: Path, files: Mapping[str, bytes], *, executable: bool = False) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            write_whole(folder / name, data, executable=executable, error=ArtifactError)
    except OSError as error:
        raise ArtifactError(f"cannot write into {folder}: {error.strerror}") from None
