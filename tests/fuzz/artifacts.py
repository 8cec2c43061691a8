"""Campaigns of altered artifacts: nothing but ArtifactError on loading, nothing but numbers or LowbitError afterwards.

``campaign(seed, mutations)`` tries mutation 0, 1, ... of a seed (mutations.py); one can be repeated by itself:
``python -m tests.fuzz.artifacts SEED FIRST COUNT FOLDER`` with the folder of ``seeds``.  Everything runs in processes of its
own, where a crash or a hang is a finding and not the end.
"""

from __future__ import annotations

import faulthandler
import json
import mmap
import os
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from tests.fuzz.mutations import mutation, take_apart

__all__ = ["Finding", "campaign", "seeds"]

CHUNK = 2_000  # mutations of one process
HANG_S = 20.0  # seconds that a mutation may take
GROWTH = 160 << 20  # bytes by which a chunk may grow a process


def seeds(folder: Path) -> list[Path]:
    """Artifacts of small networks that have, together, every kind of table that an artifact can hold."""
    paths = []
    for name, data in _compiled().items():
        paths.append(folder / f"{name}.lowbit")
        paths[-1].write_bytes(data)
    return paths


@cache
def _compiled() -> dict[str, bytes]:
    import warnings

    import torch
    from torch import Tensor, nn

    import lowbit
    from lowbit.targets import find_target
    from lowbit.targets.host import host_features

    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.groups = nn.Conv2d(3, 24, 3, padding=1), nn.Conv2d(24, 24, 3, padding=1, groups=4)
            self.depth, self.head = nn.Conv2d(24, 24, 3, padding=1, groups=24), nn.Linear(48, 5)

        def forward(self, x: Tensor) -> Tensor:
            x = torch.sigmoid(self.stem(x))
            y = nn.functional.max_pool2d(self.groups(x), 2, 2)
            z = nn.functional.avg_pool2d(torch.relu(self.depth(x)), 3, 2, 1)
            return self.head(torch.cat((y, z), 1).mean((2, 3)))

    class Softmax(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 4, 1)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            y = self.first(x).softmax(1)
            return self.last(y), y.flatten(1)[:, 3:40:2]

    torch.manual_seed(0)
    x = torch.randn((1, 3, 8, 8), generator=torch.Generator().manual_seed(1))
    avx2 = find_target("x86-64-v3")
    target = "x86-64-v3" if avx2.features <= host_features() else "native"
    large = [nn.Conv2d(3, 32, 3), nn.ReLU(), nn.Conv2d(32, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(256, 10)]
    for layer in large:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.weight.data.mul_(torch.where(torch.rand_like(layer.weight) < 0.02, 8.0, 1.0))
    plans: list[tuple[str, nn.Module, dict[str, Any]]] = [
        ("eight", Branches(), {"config": "8/int8"}),
        ("groups", Branches(), {"weights": "i4", "activations": "u8", "granularity": "per_group:8", "first_last_bits": None}),
        ("split", nn.Sequential(*large), {"config": "8/int8"}),
        ("one", nn.Sequential(*large), {"weights": "b1", "activations": "u2"}),
        ("softmax", Softmax(), {"config": "16/int16"}),
        ("float", Branches(), {}),
    ]
    found = {}
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        for name, module, options in plans:
            network = lowbit.compile(
                module.eval(), x, target=target, name=name, threads=1, progress=False,
                **options, **({"calibration": [x]} if options else {}),
            )  # fmt: skip
            found[name] = network.save(Path(folder) / f"{name}.lowbit").read_bytes()
    return found


# The process that tries them


def _use(path: str, number: int, folder: Path, kind: str = "") -> list[str]:
    """Load and do all that reads an artifact; what it came to."""
    import lowbit
    from lowbit.errors import ArtifactError, LowbitError

    try:
        network = lowbit.load(path, threads=1)
    except ArtifactError:
        return ["refused"]
    done = ["loaded"]
    inputs = [np.ones(shape, np.float32) for shape in network.input_shapes]
    try:
        results = network(*inputs)
    except LowbitError:
        return [*done, "not run"]
    for result, shape in zip(results if isinstance(results, tuple) else (results,), network.output_shapes, strict=True):
        assert result.shape == shape
        assert result.dtype == np.float32
    done.append("ran")
    repr(network)

    def attempt(name: str, function: Callable[[], object], allowed: type[Exception] = ArtifactError) -> None:
        try:
            function()
        except allowed:
            done.append(f"{name} refused")

    attempt("graph", network.graph)
    attempt("layers", lambda: network.layers)
    attempt("text", lambda: network.text("graph.txt"))
    if number % 8 == 0 or kind == "program":
        attempt("program", network.program)
        attempt("profile", lambda: network.profile(*inputs, runs=1, peaks=False))
    if number % 64 == 0:
        from lowbit.export.parts import parts_of
        from lowbit.reporting.stages import stage_text

        attempt("parts", lambda: parts_of(network), LowbitError)
        attempt("stage", lambda: stage_text(network, "quantized"), LowbitError)
        attempt("save", lambda: network.save(folder / "again.lowbit"))
        attempt("export", lambda: network.export_library(folder / "exported"))
    if number % 2048 == 0:
        from lowbit.reporting.layers import layer_reports, layer_table
        from lowbit.reporting.verify import CHECKS

        attempt("inspect", lambda: layer_table("", layer_reports(network)), LowbitError)
        for name, check in CHECKS.items():
            if name != "code":  # which generates all kernels again
                attempt(f"verify {name}", lambda check=check: list(check(network, layer_reports(network))), LowbitError)
    network.close()
    return done


def work(seed: int, first: int, count: int, folder: Path) -> None:
    """Try mutations; ``folder/at-FIRST`` always names the one being tried."""
    import lowbit.export.parts
    import lowbit.reporting.verify
    import lowbit.runtime.program_store  # noqa: F401  imported before memory is measured

    all_seeds = [take_apart(path) for path in sorted((folder / "seeds").glob("*.lowbit"))]
    counts: Counter[str] = Counter()
    file = os.memfd_create("mutated")
    path = f"/proc/self/fd/{file}"
    place = folder / f"at-{first}"
    place.write_bytes(bytes(8))
    faulthandler.enable()
    faulthandler.register(signal.SIGALRM, chain=True)  # a hang: where it is, and the end
    with place.open("r+b") as opened, mmap.mmap(opened.fileno(), 8) as at, tempfile.TemporaryDirectory() as own:
        for seed_file in all_seeds:  # what a sound one takes
            os.ftruncate(file, 0)
            os.pwrite(file, seed_file.file, 0)
            assert _use(path, 0, Path(own))[:2] == ["loaded", "ran"], seed_file.name
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for number in range(first, first + count):
            at[:] = struct.pack("<q", number)
            signal.setitimer(signal.ITIMER_REAL, HANG_S)
            kind, data = mutation(all_seeds, seed, number)
            os.ftruncate(file, 0)
            os.pwrite(file, data, 0)
            if number in _FAULTS:
                exec(_FAULTS[number])
            for what in _use(path, number, Path(own), kind):
                counts[what] += 1
                counts[f"{kind}: {what}"] += 1
            counts["mutations"] += 1
            counts[kind] += 1
    grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    assert grown < GROWTH, f"{grown} bytes more memory than at first"
    print(json.dumps(counts))


_FAULTS: dict[int, str] = {}
_PROGRAM = """
import sys
from pathlib import Path
from tests.fuzz import artifacts
from tests.fuzz.artifacts import fault, work
work(*map(int, sys.argv[1:4]), Path(sys.argv[4]))
"""


def fault(number: int, statements: str) -> None:
    """Run ``statements`` at this mutation, to see that a campaign would find what they do."""
    _FAULTS[number] = statements


class Finding(AssertionError):
    """A mutation that was neither refused nor harmless."""


def _tried(seed: int, first: int, count: int, folder: Path) -> dict[str, int]:
    """Some mutations, in a process of their own.  Raises Finding."""
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-c", _PROGRAM, *map(str, (seed, first, count)), str(folder)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root / "src"), str(root)]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    if done.returncode:
        at = folder / f"at-{first}"
        number = struct.unpack("<q", at.read_bytes())[0] if at.exists() else first
        how = f"no answer within {HANG_S:g} s" if done.returncode == -signal.SIGALRM else f"exit status {done.returncode}"
        raise Finding(f"mutation {number} of seed {seed}: {how}\n{done.stderr[-4000:]}")
    return dict(json.loads(done.stdout))


def campaign(seed: int, mutations: int, say: Callable[[str], None] = lambda _: None, workers: int = 1) -> dict[str, int]:
    """Try mutations 0 .. ``mutations`` - 1 of ``seed``, ``workers`` processes at a time; how many of each kind came to what.

    Raises Finding (number of the mutation, what happened) for a crash, a hang, memory without bound, or any error other than
    ArtifactError on loading and LowbitError later.
    """
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="lowbit-fuzz-") as name:
        folder = Path(name)
        (folder / "seeds").mkdir()
        seeds(folder / "seeds")
        began = time.monotonic()
        with ThreadPoolExecutor(workers) as pool:
            chunks = [(seed, first, min(CHUNK, mutations - first), folder) for first in range(0, mutations, CHUNK)]
            try:
                for done in pool.map(lambda chunk: _tried(*chunk), chunks):
                    counts.update(done)
                    say(f"{counts['mutations']} mutations, {counts['mutations'] / (time.monotonic() - began):.0f}/s")
            except Finding:
                pool.shutdown(cancel_futures=True)
                raise
    return dict(counts)


if __name__ == "__main__":
    work(*map(int, sys.argv[1:4]), Path(sys.argv[4]))
