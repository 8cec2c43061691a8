"""What NVRTC makes of convolutions by tensor cores, for every architecture: the instructions that a form is named after, nothing
contracted, no registers in memory, and no register moved between multiplications."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

import pytest

from lowbit.backend.cuda.nvrtc import compile_cuda, nvidia_file
from lowbit.backend.cuda.text import PREAMBLE, cuda_text
from lowbit.kernels.conv2d.cases import Shape, operands
from lowbit.kernels.conv2d.forms import FORMS as ALL
from lowbit.kernels.conv2d.forms.tensor_core import FORMS, TensorForm
from lowbit.kernels.conv2d.selection.select import describe
from lowbit.kernels.gpu.conv2d.tiling import shares_of
from lowbit.reporting.gpu_code import resources_of, sass_of
from lowbit.targets import TARGETS, Target
from tests.share import share

pytestmark = pytest.mark.skipif(
    nvidia_file("lib/libnvrtc.so.*") is None or nvidia_file("bin/nvdisasm") is None,
    reason="NVRTC and nvdisasm are in lowbit[cuda]",
)
SHAPE = Shape(512, 128, 14, 14, kernel=(3, 3), padding=(1, 1, 1, 1), residual=True)
TILES = {"wide": ((64, 64), (2, 1)), "shared": ((8, 16), (1, 1))}
BATCH = {"wide": 512, "shared": 1}
RUNS = [
    pytest.param(form, TARGETS[f"cuda-sm{n}"], tile, id=f"{form.name}-sm{n}-{tile}")
    for form in FORMS
    for n in (75, 80, 90)
    for tile in TILES
    if form.available(TARGETS[f"cuda-sm{n}"]) and (tile == "wide" or (n != 90 and not form.staged))
]
_INSTRUCTION = re.compile(r"^\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+ )?([A-Z][\w.]*)", re.M)


def multiplication(form: TensorForm) -> str:
    """Its name in machine code; that of 16 rows is written as two of 8 on some."""
    atom = form.atom
    if atom.floats:
        return rf"HMMA\.168{atom.k}\.F32"
    if atom.bits == 1:
        return r"BMMA\."
    return rf"IMMA\.{'16' if atom.rows == 16 else '8'}8{atom.k}\."


def loop_of(sass: str, name: str) -> Counter[str]:
    """Instructions of the loop with the most multiplications, the innermost one; of all, where there is no loop."""
    lines = sass.splitlines()
    labels = {found[1]: i for i, line in enumerate(lines) if (found := re.match(r"\s*(\.L_x_\d+):", line))}
    bodies = [
        lines[labels[found[1]] : i + 1]
        for i, line in enumerate(lines)
        if (found := re.search(r"BRA.*?`\((\.L_x_\d+)\)", line)) and labels.get(found[1], i) < i
    ]
    counts = [Counter(_INSTRUCTION.findall("\n".join(body))) for body in [*bodies, lines]]
    multiplied = [sum(n for key, n in count.items() if re.match(name, key)) for count in counts]
    inside = [i for i in range(len(counts) - 1) if multiplied[i]] or [len(bodies)]
    return counts[max(inside, key=lambda i: (multiplied[i], -counts[i].total()))]


@pytest.mark.parametrize(("form", "target", "tile"), share(RUNS, 2))
def test_machine_code(form: TensorForm, target: Target, tile: str) -> None:
    types = operands(form)
    problem = types.problem(replace(SHAPE, batch=BATCH[tile]))
    size, unit = TILES[tile]
    if tile == "wide":  # the largest that the cost model offers
        size = next(size for size in ((64, 64), (32, 64), (32, 32)) if form.atom.tile_sums(*size) <= 128 * 32)
    spec = describe(form, problem, types.weights(SHAPE, "random"), size, unit, parts=types.parts).spec
    assert (shares_of(spec) > 1) == (tile == "shared")
    cubin = compile_cuda(PREAMBLE + cuda_text(spec, target).text, target.arch).cubin
    resources, sass, name = resources_of(cubin), sass_of(cubin), multiplication(form)
    assert resources.local_bytes == 0
    assert resources.registers <= (255 if tile == "wide" else 80)
    every = Counter(_INSTRUCTION.findall(sass))
    assert any(re.match(name, key) for key in every), every
    assert not [key for key in every if key.split(".")[0] in ("FFMA", "LDL", "STL")]
    loop = loop_of(sass, name)
    products = sum(n for key, n in loop.items() if re.match(name, key))
    moved = sum(n for key, n in loop.items() if key.startswith(("MOV", "IMAD.MOV")))
    assert moved <= products // 2 + 8, loop


@pytest.mark.parametrize("arch", [75, 80, 90])
def test_machine_code_of_floats(arch: int) -> None:
    """128 multiply-adds for twelve vectors of weights and of pixels; all in registers within the loop."""
    form, target = ALL["f32_threads"], TARGETS[f"cuda-sm{arch}"]
    problem = operands(form).problem(SHAPE)
    spec = describe(form, problem, operands(form).weights(SHAPE, "random"), (32, 32), (4, 1)).spec
    cubin = compile_cuda(PREAMBLE + cuda_text(spec, target).text, target.arch).cubin
    assert resources_of(cubin).local_bytes <= 8  # one address waits outside of the loop
    assert resources_of(cubin).registers <= 168
    loop = loop_of(sass_of(cubin), "FFMA")
    assert not [key for key in loop if key.startswith(("LDL", "STL"))]
    products, loads = (sum(n for key, n in loop.items() if key.startswith(name)) for name in ("FFMA", "LDG.E.128"))
    assert products * 12 == loads * 128 > 0


@pytest.mark.parametrize("n", [75, 80, 90])
def test_dp4a(n: int) -> None:
    """Four products an instruction, sixteen instructions a step of four pixels: no multiplication of single bytes."""
    form, target = ALL["u8_dp4a"], TARGETS[f"cuda-sm{n}"]
    types = operands(form)
    problem, w = types.problem(SHAPE), types.weights(SHAPE, "random")
    cubin = compile_cuda(PREAMBLE + cuda_text(describe(form, problem, w, (16, 32), (2, 1)).spec, target).text, target.arch).cubin
    resources, every = resources_of(cubin), Counter(_INSTRUCTION.findall(sass_of(cubin)))
    assert resources.local_bytes == 0
    assert sum(count for name, count in every.items() if name.startswith("IDP.4A")) >= 16
    assert not [name for name in every if name.startswith("FFMA")]
