from hypothesis import given
from hypothesis import strategies as st

from lowbit.kernels.layout import Layout
from lowbit.lowering.plan_memory import SLACK, plan_memory
from lowbit.lowering.program import Buffer


def _buffer(name: str, size: int, first: int, last: int) -> Buffer:
    return Buffer(name, Layout(1, 1, 1, size, size), first, last)


@given(st.lists(st.tuples(st.integers(1, 5000), st.integers(0, 20), st.integers(0, 6)), min_size=1, max_size=30))
def test_live_buffers_never_overlap(sizes: list[tuple[int, int, int]]) -> None:
    buffers = [_buffer(f"b{i}", size, first, first + length) for i, (size, first, length) in enumerate(sizes)]
    placed, arena = plan_memory(buffers)
    assert [b.name for b in placed] == [b.name for b in buffers]
    for i, a in enumerate(placed):
        assert a.offset % 64 == 0
        assert a.offset + a.layout.nbytes + SLACK <= arena
        for b in placed[i + 1 :]:
            if a.first <= b.last and b.first <= a.last:
                assert a.offset + a.layout.nbytes + SLACK <= b.offset or b.offset + b.layout.nbytes + SLACK <= a.offset


def test_memory_is_reused_along_a_chain() -> None:
    chain = [_buffer(f"b{i}", 1024, i, i + 1) for i in range(10)]
    _, arena = plan_memory(chain)
    assert arena == 2 * (1024 + SLACK)


def test_empty_plan() -> None:
    assert plan_memory([]) == ((), 0)
