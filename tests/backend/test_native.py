from __future__ import annotations

import gc
import os
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from lowbit.backend.native import NativeNetwork
from lowbit.errors import ArtifactError, ConfigError, LowbitError
from lowbit.lowering.program import Program, Ref
from tests.backend.toy import built, call, linear_network, linear_reference


@pytest.fixture(scope="module")
def toy() -> tuple[bytes, bytes, np.ndarray]:
    program, values = linear_network()
    return (*built(program), values)


def inputs(count: int, k: int = 30) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    return [rng.integers(-500, 500, (1, k)).astype(np.float32) for _ in range(count)]


@pytest.mark.parametrize("threads", [1, 2, 5, None])
def test_computes(toy: tuple[bytes, bytes, np.ndarray], threads: int | None) -> None:
    network = NativeNetwork(*toy[:2], threads)
    assert network.threads == (threads or len(os.sched_getaffinity(0)))
    for x in inputs(50):
        np.testing.assert_array_equal(network.run([x])[0], linear_reference(toy[2], x))
    network.close()


def test_threads_can_change(toy: tuple[bytes, bytes, np.ndarray]) -> None:
    network = NativeNetwork(*toy[:2], 1)
    x = inputs(1)[0]
    for count in (3, 1, 2):
        network.threads = count
        assert network.threads == count
        np.testing.assert_array_equal(network.run([x])[0], linear_reference(toy[2], x))


@pytest.mark.parametrize("threads", [0, -1, 1025, 2.0, "2", True])
def test_impossible_thread_counts(toy: tuple[bytes, bytes, np.ndarray], threads: object) -> None:
    with pytest.raises(ConfigError, match="threads must be a whole number from 1 to 1024"):
        NativeNetwork(*toy[:2], threads)  # type: ignore[arg-type]


def test_profile_has_a_time_for_each_operation(toy: tuple[bytes, bytes, np.ndarray]) -> None:
    network = NativeNetwork(*toy[:2], 2)
    ns = network.profile(inputs(1))
    assert ns.shape == (len(network.info["operations"]),)
    assert (ns > 0).all()
    assert (ns < 10**9).all()


def test_many_threads_and_networks_at_once(toy: tuple[bytes, bytes, np.ndarray]) -> None:
    """8 callers share three networks while their pools change size; every answer is right."""
    programs = [linear_network(name=f"net{i}", n=30 + 10 * i, seed=i) for i in range(3)]
    networks = [(NativeNetwork(*built(program), 2), values) for program, values in programs]
    samples = inputs(20)
    wanted = [[linear_reference(values, x) for x in samples] for _, values in networks]
    stop = threading.Event()

    def caller(seed: int) -> int:
        rng = np.random.default_rng(seed)
        for _ in range(600):
            net, sample = rng.integers(3), rng.integers(20)
            np.testing.assert_array_equal(networks[net][0].run([samples[sample]])[0], wanted[net][sample])
        return 1

    def resizer() -> None:
        count = 0
        while not stop.is_set():
            networks[count % 3][0].threads = count % 4 + 1
            count += 1
            time.sleep(0.002)

    other = threading.Thread(target=resizer)
    other.start()
    try:
        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(caller, range(8))) == 8
    finally:
        stop.set()
        other.join()
    for network, _ in networks:
        network.close()


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_more_callers_than_threads_and_more_threads_than_cpus(toy: tuple[bytes, bytes, np.ndarray]) -> None:
    """16 callers of one network whose pool has 8 threads; children forked meanwhile compute, too."""
    network = NativeNetwork(*toy[:2], 8)
    samples = inputs(16)
    wanted = [linear_reference(toy[2], x) for x in samples]

    def caller(i: int) -> int:
        for _ in range(300):
            np.testing.assert_array_equal(network.run([samples[i]])[0], wanted[i])
        return 1

    def child() -> None:
        for i in range(16):
            np.testing.assert_array_equal(network.run([samples[i]])[0], wanted[i])

    with ThreadPoolExecutor(16) as pool:
        done = pool.map(caller, range(16))
        assert [in_child(child) for _ in range(3)] == [0] * 3
        assert sum(done) == 16
    network.close()


def in_child(work: object, seconds: float = 30) -> int:
    """Exit status of a forked child that runs ``work``; it is killed when it hangs."""
    child = os.fork()
    if child == 0:
        try:
            work()  # type: ignore[operator]
            os._exit(0)
        except BaseException:
            os._exit(1)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(child, 9)
    os.waitpid(child, 0)
    raise AssertionError("the child hangs")


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_child_can_run_close_and_resize(toy: tuple[bytes, bytes, np.ndarray]) -> None:
    network = NativeNetwork(*toy[:2], 3)
    x = inputs(1)[0]
    expected = linear_reference(toy[2], x)
    network.run([x])

    def run() -> None:
        for _ in range(20):
            np.testing.assert_array_equal(network.run([x])[0], expected)
        assert network.threads == 3
        network.threads = 2
        np.testing.assert_array_equal(network.run([x])[0], expected)
        network.close()

    assert in_child(run) == 0
    assert in_child(network.close) == 0, "closing without having run"
    np.testing.assert_array_equal(network.run([x])[0], expected, "the parent goes on")


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_fork_while_others_run(toy: tuple[bytes, bytes, np.ndarray]) -> None:
    """The child is born with the parent's pool in the middle of a job, and its locks perhaps held."""
    network = NativeNetwork(*toy[:2], 2)
    x = inputs(1)[0]
    expected = linear_reference(toy[2], x)
    stop = threading.Event()

    def busy() -> None:
        while not stop.is_set():
            network.run([x])

    def child() -> None:
        for _ in range(5):
            np.testing.assert_array_equal(network.run([x])[0], expected)
        network.close()

    others = [threading.Thread(target=busy) for _ in range(3)]
    for other in others:
        other.start()
    try:
        assert [in_child(child) for _ in range(20)] == [0] * 20
    finally:
        stop.set()
        for other in others:
            other.join()


def test_closed_networks_refuse_to_run(toy: tuple[bytes, bytes, np.ndarray]) -> None:
    network = NativeNetwork(*toy[:2], 2)
    network.close()
    network.close()
    with pytest.raises(LowbitError, match="the network toy is closed"):
        network.run(inputs(1))
    with pytest.raises(LowbitError, match="closed"):
        _ = network.threads


def test_close_waits_for_runs_in_progress() -> None:
    body = "for (volatile long i = 0; i < 100000000; i++) {} *(float *)o = 5;"
    program = Program("slow", (call("wait", body, o=Ref("output")),), (), (), b"", 64, 0, (), ((1,),))
    network = NativeNetwork(*built(program), 1)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(network.run, [])
        while not network._running:
            time.sleep(0.001)
        assert not running.done()
        network.close()
        assert running.done() or network._running == 0
        assert running.result()[0][0] == 5


def maps() -> int:
    with open("/proc/self/maps") as file:
        return sum("lowbit-network" in line for line in file)


def test_dropped_networks_free_library_memory_and_threads(toy: tuple[bytes, bytes, np.ndarray]) -> None:
    gc.collect()
    before = maps(), len(os.listdir("/proc/self/task")), len(os.listdir("/proc/self/fd"))
    networks = [NativeNetwork(*toy[:2], 3) for _ in range(5)]
    assert maps() > before[0]
    assert len(os.listdir("/proc/self/task")) == before[1] + 10
    del networks
    gc.collect()
    assert (maps(), len(os.listdir("/proc/self/task")), len(os.listdir("/proc/self/fd"))) == before


def test_libraries_loaded_after_one_another_are_their_own() -> None:
    """The loader knows libraries by name, and file descriptors are reused."""
    for i in range(20):
        program, values = linear_network(name=f"net{i % 2}", n=30 + i % 2, seed=i % 2)
        network = NativeNetwork(*built(program), 1)
        x = inputs(1)[0]
        np.testing.assert_array_equal(network.run([x])[0], linear_reference(values, x))
        if i % 3:
            network.close()


def test_without_anonymous_files(toy: tuple[bytes, bytes, np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object) -> int:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "memfd_create", forbidden)
    network = NativeNetwork(*toy[:2], 2)
    x = inputs(1)[0]
    np.testing.assert_array_equal(network.run([x])[0], linear_reference(toy[2], x))
    with pytest.raises(ArtifactError, match="cannot be loaded"):
        NativeNetwork(toy[0][:200], toy[1], 1)


def test_another_architecture(toy: tuple[bytes, bytes, np.ndarray]) -> None:
    other = bytearray(toy[0])
    struct.pack_into("<H", other, 18, 183 if toy[0][18] == 62 else 62)
    with pytest.raises(ArtifactError, match=r"was compiled for \w+; this machine is \w+"):
        NativeNetwork(bytes(other), toy[1], 1)


@pytest.mark.parametrize("library", [b"", b"MZ" + bytes(100), b"\x7fELF\x01\x01" + bytes(100)])
def test_what_is_no_library(toy: tuple[bytes, bytes, np.ndarray], library: bytes) -> None:
    with pytest.raises(ArtifactError, match="not a 64-bit little-endian ELF file"):
        NativeNetwork(library, toy[1], 1)


def test_a_library_that_cannot_be_loaded(toy: tuple[bytes, bytes, np.ndarray]) -> None:
    with pytest.raises(ArtifactError, match="cannot be loaded"):
        NativeNetwork(toy[0][:200], toy[1], 1)


def test_a_library_of_something_else(toy: tuple[bytes, bytes, np.ndarray]) -> None:
    program = Path("/proc/self/exe").read_bytes()
    with pytest.raises(ArtifactError, match=r"cannot be loaded|lacks a function"):
        NativeNetwork(program, toy[1], 1)


def test_results_do_not_depend_on_the_callers_float_modes() -> None:
    """A caller that flushes denormals still gets them, and keeps its own mode."""
    torch = pytest.importorskip("torch")
    body = "for (int32_t i = lo; i < hi; i++) ((float *)o)[i] = ((const float *)x)[i] * 1e-20f;"
    program = Program("tiny", (call("scale", body, 64, x=Ref("input"), o=Ref("output")),), (), (), b"", 64, 0, ((64,),), ((64,),))
    x = np.full(64, 1e-20, np.float32)
    if not torch.set_flush_denormal(True):
        pytest.skip("this CPU cannot flush denormals")
    try:
        for threads in (1, 2):
            network = NativeNetwork(*built(program), threads)
            for _ in range(20):
                bits = network.run([x])[0].view(np.uint32)
                assert (bits == bits[0]).all()
                assert bits[0] != 0
        assert (torch.from_numpy(x) * 1e-20).abs().max().item() == 0.0
    finally:
        torch.set_flush_denormal(False)
