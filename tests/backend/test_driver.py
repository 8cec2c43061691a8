from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lowbit.backend.driver import driver_source, identity, network_header, prefix_of
from lowbit.backend.native import NativeNetwork
from lowbit.backend.toolchain import C_FLAGS, find_compiler
from lowbit.kernels.layout import ELEMENT_BYTES, Layout
from lowbit.lowering.program import Fill, Program, Ref
from tests.backend.toy import TARGET, built, call, linear_network


@pytest.mark.parametrize(
    ("name", "prefix"),
    [
        ("ResNet-18 (int4)", "resnet_18_int4"),
        ("18", "network_18"),
        ("", "network"),
        ("lb", "network_lb"),
        ("größe", "gr_e"),
        ("__x__", "x"),
    ],
)
def test_prefixes_are_identifiers(name: str, prefix: str) -> None:
    assert prefix_of(name) == prefix


@pytest.mark.parametrize("name", ['quote " and \\ back', "größe 網路", "trigraph ??/ end", "new\nline", "x" * 3000])
def test_any_name_survives_as_text(name: str) -> None:
    program, _ = linear_network()
    network = NativeNetwork(*built(replace(program, name=name, input_names=(name,))), 1)
    assert network.info["name"] == name
    assert network.info["inputs"][0]["name"] == name


LAYOUTS = [
    Layout(1, 3, 4, 5, 16, "u8", 1, 1, 1, 1),
    Layout(2, 3, 4, 5, 16, "u8", 1, 2, 3, 4),
    Layout(3, 1, 1, 2, 4, "i16", 2, 0, 0, 1),
    Layout(2, 2, 3, 2, 4, "f32", 0, 1, 1, 0),
    Layout(2, 4, 2, 32, 4, "bits", 1, 0, 1, 0),
    Layout(2, 2, 2, 16, 16, "u8"),
]


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_fills_set_the_halo_or_everything(layout: Layout, whole: bool) -> None:
    """The arena is dirtied first, at 64 bytes from its start; then the fill runs, then all of it is read."""
    element = ELEMENT_BYTES[layout.dtype]
    dtype = np.dtype(f"<u{element}")
    value = {1: 0xA5, 2: -3, 4: 0x3FC00000}[element]
    nbytes = -(-(layout.nbytes + 192) // 4) * 4
    dirty = call("dirty", f"memset(o, 0x11, {nbytes});", o=Ref("arena"))
    fill = call("fill", ";", fills=(Fill(64, layout, value, whole),))
    dump = call("dump", f"memcpy(o, x, {nbytes});", x=Ref("arena"), o=Ref("output"))
    program = Program("fills", (dirty, fill, dump), (), (), b"", nbytes, 0, (), ((nbytes // 4,),))
    got = NativeNetwork(*built(program), 1).run([])[0].view(np.uint8)

    old, new = dtype.type(int("11" * element, 16)), np.int64(value).astype(dtype)
    buffer = np.full((layout.n, layout.hp, layout.wp, layout.stride), new)
    if not whole:
        buffer[:, layout.top : layout.top + layout.h, layout.left : layout.left + layout.w] = old
    expected = np.full(nbytes, 0x11, np.uint8)
    expected[64 : 64 + layout.nbytes] = buffer.reshape(-1).view(np.uint8)
    np.testing.assert_array_equal(got, expected)


def test_every_space_of_a_reference() -> None:
    """Two inputs, two outputs, constants; unused pointers are NULL."""
    total = call(
        "sum",
        "const float *a = x, *c = r; const int32_t *k = b; float *out = o;"
        "out[0] = a[0] + c[0] + (float)k[1] + (w || s || t ? 100 : 0);",
        x=Ref("input", 1), r=Ref("input", 0), b=Ref("constants", 64), o=Ref("output", 1),
    )  # fmt: skip
    copy = call("copy", "memcpy(o, x, 12);", x=Ref("input", 0), o=Ref("output", 0))
    constants = bytes(64) + np.array([1, 7], np.int32).tobytes() + bytes(56)
    program = Program("spaces", (total, copy), (), (), constants, 64, 0, ((3,), (1,)), ((3,), (1,)))
    first, second = NativeNetwork(*built(program), 1).run([np.float32([1, 2, 3]), np.float32([10])])
    np.testing.assert_array_equal(first, np.float32([1, 2, 3]))
    np.testing.assert_array_equal(second, np.float32([18]))


def test_source_depends_on_the_program_alone() -> None:
    a, b = linear_network(seed=1)[0], linear_network(seed=2)[0]
    assert driver_source(a, TARGET, "p") == driver_source(b, TARGET, "p")
    assert identity(a) == identity(b)
    assert identity(a) != identity(linear_network(k=31)[0])
    assert identity(a) != identity(replace(a, arena_bytes=a.arena_bytes + 64))


@pytest.mark.parametrize("standard", ["-std=c11", "-std=c++17"])
def test_the_header_is_strict_c_and_cplusplus(tmp_path, standard: str) -> None:
    program = replace(linear_network(name="Toy Net")[0], input_names=("x */ y",))
    text = network_header(program, "toy_net")
    assert "lowbit_" not in text
    assert "#define TOY_NET_INPUT_0_ELEMENTS 30" in text
    (tmp_path / "toy_net.h").write_text(text)
    use = (
        "static float y[TOY_NET_OUTPUT_0_ELEMENTS];\n"
        "int main(void) { toy_net_close(toy_net_open(0, 1)); return TOY_NET_OPERATIONS + (int)y[0]; }\n"
    )
    name = "use.cpp" if "+" in standard else "use.c"
    (tmp_path / name).write_text('#include "toy_net.h"\n' + use)
    flags = [f for f in C_FLAGS if not f.startswith("-std")]
    find_compiler(TARGET).run([*flags, standard, "-pedantic", "-c", name], tmp_path)
