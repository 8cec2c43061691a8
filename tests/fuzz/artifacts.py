"""Artifacts altered at random: nothing but ArtifactError on loading, nothing but numbers or LowbitError afterwards.

``campaign(seed, mutations)`` makes mutation 0, 1, ... of a seed; each depends on (seed, number) alone, so that one can be
repeated by itself: ``python -m tests.fuzz.artifacts SEED FIRST COUNT FOLDER`` with the folder of ``seeds``.  Everything
runs in processes of its own, where a crash or a hang is a finding and not the end.

A section that is altered is signed again (digests, and the sum of the weights), or nothing behind the first
digest would ever be reached.  Code is trusted by design (docs/security.md): library.so is damaged, never altered and signed.
"""

from __future__ import annotations

import copy
import faulthandler
import hashlib
import json
import mmap
import os
import random
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["KINDS", "campaign", "seeds"]

CHUNK = 2_000  # mutations of one process
HANG_S = 20.0  # seconds that a mutation may take
GROWTH = 160 << 20  # bytes by which a chunk may grow a process
HEADER = struct.Struct("<8sIIQQ")
FORMAT = 4
VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 7, 64, 255, 1 << 16, 1 << 31, (1 << 31) - 1, 1 << 40, (1 << 63) - 1, 1 << 64, 10**30,
    -(10**30), 0.5, 1e308, float("nan"), float("inf"), "", "x", "i8", "b1", "u16", "f32", "../x", "a\0b", "\udce9", "é" * 300,
    "<f4", "|O", "conv2d", [], {}, [[]], [1, 2], [0], [-1, 5], [1 << 40, 1 << 40], {"": 0}, [None], {"shape": [1]},
)  # fmt: skip

# infinities, NaN, the largest floats, 2^23, the smallest denormal; as integers the extremes
WORDS = (0, 1, 0x7F800000, 0xFF800000, 0x7FC00000, 0x7F7FFFFF, 0xFF7FFFFF, 0x4B000000, 0xFFFFFFFF, 0x7FFFFFFF, 0x80000000)


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


@dataclass(frozen=True)
class Stored:
    """A section as it lies in the file."""

    name: str
    data: bytes
    size: int
    encoding: str


@dataclass(frozen=True)
class Seed:
    """An artifact taken apart."""

    name: str
    file: bytes
    sections: tuple[Stored, ...]
    plain: dict[str, bytes]
    json: dict[str, Any]


def take_apart(path: Path) -> Seed:
    file = path.read_bytes()
    _, _, _, _, length = HEADER.unpack_from(file)
    sections, plain = [], {}
    for entry in json.loads(file[64 : 64 + length])["sections"]:
        data = file[entry["offset"] : entry["offset"] + entry["stored"]]
        sections.append(Stored(entry["name"], data, entry["size"], entry["encoding"]))
        plain[entry["name"]] = zlib.decompress(data) if entry["encoding"] == "zlib" else data
    return Seed(
        path.stem, file, tuple(sections), plain, {name: json.loads(plain[name]) for name in plain if name.endswith(".json")}
    )


def digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=32).digest()


def entries(sections: tuple[Stored, ...], at: int = 8192) -> list[dict[str, Any]]:
    """The index of a file whose sections start at byte ``at``."""
    found = []
    for s in sections:
        place = {"offset": at, "stored": len(s.data), "size": s.size, "encoding": s.encoding}
        found.append({"name": s.name, **place, "digest": digest(s.data).hex()})
        at = -(-(at + len(s.data)) // 64) * 64
    return found


def sign(index: Any, sections: tuple[Stored, ...], header: tuple[Any, ...] = ()) -> bytes:
    """A file of this index and these sections, its digest right.  ``header``: other fields than the right ones."""
    text = index if isinstance(index, bytes) else json.dumps(index).encode()
    body = bytearray(text)
    at = 8192
    for s in sections:
        body += bytes(max(0, at - 64 - len(body)))
        body += s.data
        at = -(-(at + len(s.data)) // 64) * 64
    fields = [b"\x89LOWBIT\n", FORMAT, 0, 64 + len(body), len(text)]
    for i, value in header:
        fields[i] = value
    head = HEADER.pack(*fields)
    return head + digest(head + text) + bytes(body)


def with_section(seed: Seed, name: str, data: bytes, *, pack: bool) -> bytes:
    """The seed with another section, signed."""
    stored = zlib.compress(data, 1) if pack else data
    new = Stored(name, stored, len(data), "zlib" if pack else "raw")
    sections = tuple(new if s.name == name else s for s in seed.sections)
    return sign({"sections": entries(sections)}, sections)


# Pieces of data


def spoiled(dice: random.Random, data: bytes) -> bytes:
    """Some bytes changed, removed, repeated or replaced."""
    new = bytearray(data)
    for _ in range(dice.choice((1, 1, 1, 2, 5, 40))):
        at, length = dice.randrange(len(new) + 1), dice.choice((1, 1, 2, 4, 8, 64, 1000))
        how = dice.randrange(6)
        if how == 0 and at < len(new):
            new[at] ^= 1 << dice.randrange(8)
        elif how == 1:
            new[at : at + length] = dice.randbytes(min(length, len(new) - at))
        elif how == 2:
            new[at : at + length] = bytes([dice.choice((0, 0xFF, 0x7F, 0x80))]) * min(length, len(new) - at)
        elif how == 3:
            del new[at : at + length]
        elif how == 4:
            new[at:at] = new[at : at + length]
        elif at + 8 <= len(new):
            struct.pack_into("<q", new, at, dice.choice((0, -1, 1 << 31, -(1 << 31), 1 << 62, -(1 << 62), 1 << 40)))
    return bytes(new)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to all values inside a JSON value."""
    found = [path]
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        found += places(item, (*path, key))
    return found


def edited(dice: random.Random, value: Any) -> Any:
    """A JSON value with something changed in it, once or a few times."""
    root = [copy.deepcopy(value)]
    for _ in range(dice.choice((1, 1, 1, 2, 4))):
        path = dice.choice(places(root[0], (0,)))
        holder: Any = root
        for key in path[:-1]:
            holder = holder[key]
        key, old, how = path[-1], holder[path[-1]], dice.randrange(9)
        if how == 0 and type(old) in (int, float):
            holder[key] = dice.choice((old + 1, old - 1, -old, old * 2, old * 4096, float(old), str(old)))
        elif how == 1 and len(path) > 1:
            del holder[key]
        elif how == 2 and isinstance(holder, dict):
            holder[dice.choice(("x", "shape", "at", "weights", str(key) + "s"))] = holder.pop(key)
        elif how == 3 and isinstance(holder, list):
            holder.insert(key, copy.deepcopy(dice.choice(holder)))
        elif how == 4 and isinstance(old, list):
            dice.shuffle(old)
        elif how == 5 and isinstance(holder, dict):
            other = dice.choice(list(holder))
            holder[key], holder[other] = holder[other], holder[key]
        elif how == 6:
            source = root[0]
            for step in dice.choice(places(root[0])):
                source = source[step]
            if len(json.dumps(source)) < 20_000:
                holder[key] = copy.deepcopy(source)
        else:
            holder[key] = copy.deepcopy(dice.choice(VALUES))
    return root[0]


def signed_weights(data: bytes) -> bytes:
    """A weight file whose size and sum are those of its bytes."""
    from lowbit.backend.weight_file import checksum

    new = bytearray(data) + bytes(-len(data) % 8)
    if len(new) >= 64:
        struct.pack_into("<Q", new, 32, checksum(np.frombuffer(bytes(new[64:]), np.uint8)))
    return bytes(new)


# Kinds of mutations: (dice, all seeds, the one to alter) -> a file


def _flip(dice: random.Random, _: list[Seed], seed: Seed) -> bytes:
    new = bytearray(seed.file)
    for _i in range(dice.choice((1, 1, 2, 8))):
        new[dice.choice((dice.randrange(len(new)), dice.randrange(3000)))] ^= dice.randrange(1, 256)
    return bytes(new)


def _cut(dice: random.Random, all_seeds: list[Seed], seed: Seed) -> bytes:
    a, b = sorted(dice.randrange(len(seed.file) + 1) for _ in range(2))
    other = dice.choice(all_seeds).file
    file = seed.file
    return dice.choice((file[:a], file[a:], file[:a] + file[b:], file[:b] + file[a:], file[:a] + other[a:], file + bytes(b)))


def _header(dice: random.Random, _: list[Seed], seed: Seed) -> bytes:
    numbers = (0, 1, 2, 3, 4, 5, 63, 64, 65, 4096, len(seed.file), len(seed.file) + 1, (1 << 32) - 1)
    large = (*numbers, 1 << 33, (1 << 63) - 1, (1 << 64) - 1)
    changes = ((1, dice.choice(numbers)), (2, dice.choice(numbers)), (3, dice.choice(large)), (4, dice.choice(large)))
    chosen = dice.sample(changes, dice.choice((1, 1, 2)))
    return sign({"sections": entries(seed.sections)}, seed.sections, tuple(chosen))


def _index(dice: random.Random, _: list[Seed], seed: Seed) -> bytes:
    index = edited(dice, {"sections": entries(seed.sections)})
    return sign(spoiled(dice, json.dumps(index).encode()) if dice.random() < 0.1 else index, seed.sections)


def _order(dice: random.Random, all_seeds: list[Seed], seed: Seed) -> bytes:
    """Sections left out, twice, in another order, under other names, or of another network."""
    sections = list(seed.sections)
    for _ in range(dice.choice((1, 1, 2))):
        i, j = dice.randrange(len(sections)), dice.randrange(len(sections))
        how = dice.randrange(6)
        if how == 0:
            del sections[i]
        elif how == 1:
            sections.insert(j, sections[i])
        elif how == 2:
            sections[i], sections[j] = sections[j], sections[i]
        elif how == 3 and "library.so" not in (sections[i].name, sections[j].name):
            sections[i], sections[j] = replace(sections[i], name=sections[j].name), replace(sections[j], name=sections[i].name)
        elif how == 4:
            sections[i] = next((s for s in dice.choice(all_seeds).sections if s.name == sections[i].name), sections[j])
        elif sections[i].name != "library.so":
            sections[i] = replace(sections[i], name=str(dice.choice(VALUES)))
        if not sections:
            break
    return sign({"sections": entries(tuple(sections))}, tuple(sections))


def _size(dice: random.Random, _: list[Seed], seed: Seed) -> bytes:
    """Sections that unpack to more than they should."""
    i = dice.choice([i for i, s in enumerate(seed.sections) if s.name != "library.so"])
    size = dice.choice((0, 1, 1 << 16, 1 << 20, (1 << 20) + 1, 1 << 22))
    data = zlib.compress(bytes([dice.choice((0, 0x20))]) * size, 1)
    claimed = dice.choice((size, size, size + 1, max(0, size - 1), 1 << 40))
    sections = list(seed.sections)
    sections[i] = Stored(sections[i].name, data, claimed, dice.choice(("zlib", "zlib", "zlib", "raw")))
    return sign({"sections": entries(tuple(sections))}, tuple(sections))


def _json(name: str) -> Callable[[random.Random, list[Seed], Seed], bytes]:
    def mutate(dice: random.Random, _: list[Seed], seed: Seed) -> bytes:
        value = edited(dice, seed.json[name])
        data = json.dumps(value).encode()
        if dice.random() < 0.05:
            data = dice.choice((spoiled(dice, data), b"[" * 100_000, b'{"a":' * 10_000, b"1" * 10_000, b"", b"\xff\xfe"))
        return with_section(seed, name, data, pack=len(data) > 100)

    return mutate


def _program(dice: random.Random, all_seeds: list[Seed], seed: Seed) -> bytes:
    """What a program is read from: its JSON, its tables of addresses, or another network's."""
    how = dice.randrange(4)
    if how < 2:
        return _json("program.json")(dice, all_seeds, seed)
    name = dice.choice(("addresses.bin", "program.json"))
    data = spoiled(dice, seed.plain["addresses.bin"]) if how == 2 else dice.choice(all_seeds).plain[name]
    return with_section(seed, "addresses.bin" if how == 2 else name, data, pack=False)


def _bytes(dice: random.Random, _: list[Seed], seed: Seed) -> bytes:
    name = dice.choice(("constants.bin", "constants.bin", "graph.txt", "lowbit_network.h"))
    return with_section(seed, name, spoiled(dice, seed.plain[name]), pack=False)


def _weights(dice: random.Random, _: list[Seed], seed: Seed) -> bytes:
    """Numbers: the header stays but for its sum, so that they are used."""
    data = bytearray(seed.plain["weights.bin"])
    for _i in range(dice.choice((1, 1, 2, 4))):
        at = dice.randrange(64, len(data), 4)
        length = min(dice.choice((4, 4, 8, 64, 512, 4096, len(data))), len(data) - at)
        how = dice.randrange(4)
        if how == 0:
            data[at : at + length] = dice.randbytes(length)
        elif how == 1:
            data[at : at + length] = (struct.pack("<I", dice.choice(WORDS)) * (length // 4 + 1))[:length]
        elif how == 2:
            data[at : at + length] = bytes([dice.choice((0, 0xFF, 0x55, 0x80))]) * length
        else:
            (number,) = struct.unpack_from("<i", data, at)
            number += dice.choice((1, -1, 64, -64, 1 << 20, -(1 << 20)))
            struct.pack_into("<i", data, at, max(-(1 << 31), min((1 << 31) - 1, number)))
    return with_section(seed, "weights.bin", signed_weights(bytes(data)), pack=False)


def _weights_header(dice: random.Random, all_seeds: list[Seed], seed: Seed) -> bytes:
    data = bytearray(seed.plain["weights.bin"])
    how = dice.randrange(4)
    if how == 0:
        struct.pack_into("<Q", data, dice.randrange(0, 40, 8), dice.choice((0, 1, 2, 64, len(data), 1 << 40, (1 << 64) - 1)))
    elif how == 1:
        data = bytearray(spoiled(dice, bytes(data)))
    elif how == 2:
        data = bytearray(dice.choice(all_seeds).plain["weights.bin"])
    else:
        data = data[: dice.randrange(len(data))]
    new = signed_weights(bytes(data)) if dice.random() < 0.7 else bytes(data)
    return with_section(seed, "weights.bin", new, pack=False)


KINDS: dict[str, tuple[int, Callable[[random.Random, list[Seed], Seed], bytes]]] = {
    "bytes flipped": (6, _flip),
    "cut, spliced": (4, _cut),
    "header": (2, _header),
    "index": (4, _index),
    "sections": (2, _order),
    "sizes": (1, _size),
    "manifest": (4, _json("manifest.json")),
    "graph": (3, _json("graph.json")),
    "program": (3, _program),
    "constants, texts": (1, _bytes),
    "weights": (2, _weights),
    "weights header": (2, _weights_header),
}
"""kind -> (share, function)."""


def mutation(all_seeds: list[Seed], seed: int, number: int) -> tuple[str, bytes]:
    """Mutation ``number`` of a campaign."""
    dice = random.Random(f"{seed}:{number}")
    kind = dice.choices(list(KINDS), [share for share, _ in KINDS.values()])[0]
    chosen = dice.choices(all_seeds, [1 / (50_000 + len(s.file)) for s in all_seeds])[0]  # large ones take longer
    return kind, KINDS[kind][1](dice, all_seeds, chosen)


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
