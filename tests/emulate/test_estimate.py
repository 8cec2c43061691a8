"""llvm-mca's cycles, on loops whose cost is known from the cores' manuals."""

from __future__ import annotations

import pytest

from lowbit.emulate.blocks import Block
from lowbit.emulate.estimate import block_cycles, total_cycles

pytestmark = pytest.mark.llvm

ADD, FMLA, SDOT, UNKNOWN = 0x8B020020, 0x4E21CC40, 0x4E829420, 0xFFFFFFFF
FMLAS = tuple(FMLA & ~0x1F | register for register in range(8, 24))  # sixteen accumulators: no one waits for itself


def test_throughput_of_multiply_accumulate() -> None:
    """The N1 has two float pipes of 128 bits, the A72 two of 64."""
    block = Block("f", 0, FMLAS)
    for cpu, cycles in (("cortex-a72", 16), ("neoverse-n1", 8)):
        assert block_cycles([block], cpu)[block] == pytest.approx(cycles, rel=0.1)


def test_a_chain_waits_for_itself() -> None:
    chain, free = Block("f", 0, (FMLA,) * 16), Block("f", 0, FMLAS)
    cycles = block_cycles([chain, free], "neoverse-n1")
    assert cycles[chain] > 3 * cycles[free]


def test_words_that_are_no_instructions_are_left_out() -> None:
    block = Block("f", 0, (UNKNOWN, *FMLAS, UNKNOWN))
    assert block_cycles([block], "neoverse-n1")[block] == pytest.approx(8, rel=0.1)


def test_cycles_add_up_by_how_often_blocks_run() -> None:
    hot, cold = Block("f", 0, FMLAS), Block("f", 64, (ADD, SDOT))
    known: dict[Block, float] = {}
    total = total_cycles({hot: 1000, cold: 500}, "neoverse-n1", known)
    assert total == pytest.approx(1000 * known[hot] + 500 * known[cold])
    assert total_cycles({hot: 2000, cold: 1000}, "neoverse-n1", known) == pytest.approx(2 * total)
    assert total_cycles({}, "neoverse-n1", known) == 0
