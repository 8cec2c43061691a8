"""Scratch memory, and what begins and ends a thread's share of the units, by a kernel in C that writes down what it sees."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from lowbit.backend.native import NativeNetwork
from lowbit.lowering.program import NULL, Call, Program, Ref
from tests.backend.toy import CSpec, built, call

UNITS, BYTES = 24, 192
SHARED = """
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
extern _Atomic uint64_t toy_begun, toy_ended;
_Atomic uint64_t toy_begun, toy_ended;
struct memory { uint64_t magic, units, owner; };
static uint64_t me(void) { return (uint64_t)pthread_self(); }
"""
BEGIN = """
    struct memory *own = m;
    atomic_fetch_add(&toy_begun, 1);
    own->magic = 77, own->units = 0, own->owner = me();
"""
END = """
    struct memory *own = m;
    atomic_fetch_add(&toy_ended, own->magic == 77 && own->units > 0 && own->owner == me());
    own->magic = 0;
"""
BODY = """
    struct memory *own = m;
    for (int32_t unit = lo; unit < hi; unit++) {
        uint64_t seen[4] = {(uint64_t)m, me(), own->magic == 77 && own->owner == me() ? own->units++ : 999, (uint64_t)m % 64};
        memset((char *)m + sizeof *own, (int)unit, BYTES - sizeof *own);
        nanosleep(&(struct timespec){.tv_nsec = 300000}, NULL);
        for (uint32_t i = sizeof *own; i < BYTES; i++) seen[3] += ((uint8_t *)m)[i] != (uint8_t)unit;
        memcpy((char *)o + (size_t)unit * sizeof seen, seen, sizeof seen);
    }
""".replace("BYTES", str(BYTES))
REPORT = """
    uint64_t counts[2] = {toy_begun, toy_ended};
    toy_begun = toy_ended = 0;
    memcpy(o, counts, sizeof counts);
"""
ASKING = CSpec(BODY, UNITS, scratch=BYTES, begin=BEGIN, end=END, shared=SHARED)
REPORTING = CSpec(REPORT, 1, shared="#include <stdatomic.h>\nextern _Atomic uint64_t toy_begun, toy_ended;")


def program() -> Program:
    units = Call("asking", ASKING, (NULL,) * 6 + (Ref("output", 0),))
    report = Call("reporting", REPORTING, (NULL,) * 6 + (Ref("output", 1),))
    return Program("asking", (units, report), (), (), b"", 64, 0, (), ((8 * UNITS,), (4,)))


@pytest.fixture(scope="module")
def files() -> tuple[bytes, bytes]:
    return built(program())


def run(network: NativeNetwork) -> int:
    """Threads that took part in one run; what each promises holds."""
    seen, counts = (out.view(np.uint64) for out in network.run([]))
    addresses, owners, order, wrong = seen.reshape(UNITS, 4).T
    shares = {(int(address), int(owner)) for address, owner in zip(addresses, owners, strict=True)}
    assert not wrong.any(), "memory is not aligned, or somebody else wrote into it"
    assert len(shares) == len(set(addresses.tolist())) == len(set(owners.tolist())), "threads share memory"
    for address, _ in shares:  # counted through from one begin on
        mine = order[addresses == address]
        assert sorted(mine.tolist()) == list(range(len(mine)))
    assert counts.tolist() == [len(shares), len(shares)]
    return len(shares)


def test_one_thread_begins_and_ends_once(files: tuple[bytes, bytes]) -> None:
    network = NativeNetwork(*files, 1)
    assert [run(network) for _ in range(3)] == [1, 1, 1]


@pytest.mark.parametrize("threads", [2, 3])
def test_each_thread_begins_and_ends_its_share_once(files: tuple[bytes, bytes], threads: int) -> None:
    network = NativeNetwork(*files, threads)
    taken = [run(network) for _ in range(40)]
    assert 2 <= max(taken) <= threads  # on a crowded machine workers do not always come


def test_more_threads_than_there_is_memory_for_wait(files: tuple[bytes, bytes]) -> None:
    """Callers of one network: each has its own memory, whether it has the pool or not."""
    network = NativeNetwork(*files, 2)
    with ThreadPoolExecutor(4) as callers:
        for outputs in callers.map(lambda _: network.run([]), range(40)):
            assert not outputs[0].view(np.uint64).reshape(UNITS, 4)[:, 3].any()
            assert (outputs[0].view(np.uint64).reshape(UNITS, 4)[:, 2] < UNITS).all()


def test_without_scratch_memory_there_is_no_pointer() -> None:
    begin, end = "toy = m ? 1 : 5;", "toy = 0;"
    spec = CSpec("((float *)o)[0] = (float)toy;", 1, begin=begin, end=end, shared="static int toy;")
    plain = call("plain", "((float *)o)[0] = 3;", o=Ref("output", 1))
    both = (Call("bracketed", spec, (NULL,) * 6 + (Ref("output", 0),)), plain)
    network = NativeNetwork(*built(Program("p", both, (), (), b"", 64, 0, (), ((1,), (1,)))), 1)
    assert [float(out[0]) for out in network.run([])] == [5, 3]
