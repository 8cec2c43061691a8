"""Instructions are counted exactly: the same whenever they are counted, and each with the layer that executes it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lowbit.compiler import compile as compile_network
from lowbit.emulate.blocks import Block, class_of, count_classes, instructions
from lowbit.emulate.tools import find_qemu_user
from lowbit.emulate.user import emulate_user
from lowbit.errors import LowbitError
from tests.emulate.networks import compiled, example

# words as the assembler makes them
WORDS = {
    0x4E829420: "dot product",  # sdot v0.4s, v1.16b, v2.16b
    0x6F82E020: "dot product",  # udot v0.4s, v1.16b, v2.4b[0]
    0x0E628020: "vector",  # smlal v0.4s, v1.4h, v2.4h
    0x4E21CC40: "vector",  # fmla v0.4s, v2.4s, v1.4s
    0x3DC00001: "load",  # ldr q1, [x0]
    0x3D800001: "store",  # str q1, [x0]
    0xF9400020: "load",  # ldr x0, [x1]
    0xF9000020: "store",  # str x0, [x1]
    0xB9800020: "load",  # ldrsw x0, [x1]
    0xA9BF7BFD: "store",  # stp x29, x30, [sp, #-16]!
    0xA8C17BFD: "load",  # ldp x29, x30, [sp], #16
    0x4CDF7000: "load",  # ld1 {v0.16b}, [x0], #16
    0x4D40C800: "load",  # ld1r {v0.4s}, [x0]
    0x58000040: "load",  # ldr x0, literal
    0x54000041: "branch",  # b.ne
    0xD65F03C0: "branch",  # ret
    0x8B020020: "other",  # add x0, x1, x2
    0x9B027C20: "other",  # mul x0, x1, x2
}


@pytest.mark.parametrize("word", WORDS, ids=hex)
def test_classes(word: int) -> None:
    assert class_of(word) == WORDS[word]


def test_counting_blocks() -> None:
    one, two = Block("f", 0, (0x4E829420, 0x54000041)), Block("g", 64, (0xD65F03C0,))
    assert instructions({one: 10, two: 3}) == 23
    assert instructions({one: 10, two: 3}, ["g"]) == 3
    assert count_classes({one: 10, two: 3}) == {"dot product": 10, "branch": 13}


class Twice(nn.Module):
    """Two equal layers, which share a kernel, and one that computes four times as much."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(16, 16, 3, padding=1)
        self.second = nn.Conv2d(16, 16, 3, padding=1)
        self.large = nn.Conv2d(16, 64, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.large(torch.relu(self.second(torch.relu(self.first(x)))))


@pytest.mark.qemu
def test_counts_are_exact_and_by_layer() -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 16, 12, 12)
    network = compile_network(
        Twice().eval(),
        x,
        weights="i4",
        activations="u4",
        first_last_bits=None,
        target="raspberry-pi-4",
        name="twice",
        calibration=[x],
    )
    done, again = (emulate_user(network, [x.numpy()], runs=runs) for runs in (1, 2))
    assert done.instructions is not None
    assert [layer.instructions for layer in done.layers] == [layer.instructions for layer in again.layers]
    assert done.instructions == again.instructions
    counts = {layer.layer: layer for layer in done.layers if layer.macs}
    assert counts["first"].kernel == counts["second"].kernel
    assert counts["first"].instructions == counts["second"].instructions
    ratio = (counts["large"].instructions or 0) / (counts["first"].instructions or 1)
    assert 3 < ratio < 5
    for layer in done.layers:
        assert sum(layer.classes.values()) == layer.instructions
    assert counts["large"].classes["vector"] > counts["large"].macs / 16  # no instruction here multiplies more than 16 pairs


@pytest.mark.qemu
def test_the_input_does_not_change_what_is_executed() -> None:
    network = compiled("mixed", "8/int8", "raspberry-pi-5")
    counts = [
        [layer.instructions for layer in emulate_user(network, [x]).layers if layer.macs]
        for x in (example("mixed"), np.zeros(network.input_shapes[0], np.float32))
    ]
    assert counts[0] == counts[1]


@pytest.mark.qemu
def test_a_qemu_without_plugins_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """QEMU's static builds refuse -plugin; a stand-in does the same."""
    stand_in = tmp_path / "qemu-aarch64"
    stand_in.write_text(
        f'#!/bin/sh\ncase "$*" in *-plugin*) echo "unknown option" >&2; exit 1;; esac\nexec {find_qemu_user("aarch64")} "$@"\n'
    )
    stand_in.chmod(0o755)
    monkeypatch.setattr(
        "lowbit.emulate.tools._path", lambda name: str(stand_in) if name == "qemu-aarch64" else shutil.which(name)
    )
    done = emulate_user(compiled("mixed", "8/int8", "raspberry-pi-4"), [example("mixed")])
    assert done.verdict.exact
    assert done.instructions is None
    assert done.estimated_ms is None
    assert "takes no plugins, as static builds do not (unknown option)" in done.notes[0]


@pytest.mark.qemu
def test_a_stripped_program_cannot_be_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    from lowbit.emulate import user

    strip = user.build_program
    monkeypatch.setattr(user, "build_program", lambda *arguments: strip(*arguments, strip=True))
    with pytest.raises(LowbitError, match="0 complete runs were counted instead of 2; was it stripped"):
        emulate_user(compiled("mixed", "8/int8", "raspberry-pi-4"), [example("mixed")])
