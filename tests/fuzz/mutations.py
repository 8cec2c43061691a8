"""Artifacts altered at random: mutation 0, 1, ... of a seed; each depends on (seed, number) alone, so that one can be
repeated by itself.

A section that is altered is signed again (digests, and the sum of the weights), or nothing behind the first
digest would ever be reached.  Code is trusted by design (docs/security.md): library.so is damaged, never altered and signed.
"""

from __future__ import annotations

import copy
import hashlib
import json
import random
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["KINDS", "Seed", "mutation", "signed_weights", "take_apart"]

HEADER = struct.Struct("<8sIIQQ")
FORMAT = 4
VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 7, 64, 255, 1 << 16, 1 << 31, (1 << 31) - 1, 1 << 40, (1 << 63) - 1, 1 << 64, 10**30,
    -(10**30), 0.5, 1e308, float("nan"), float("inf"), "", "x", "i8", "b1", "u16", "f32", "../x", "a\0b", "\udce9", "é" * 300,
    "<f4", "|O", "conv2d", [], {}, [[]], [1, 2], [0], [-1, 5], [1 << 40, 1 << 40], {"": 0}, [None], {"shape": [1]},
)  # fmt: skip

# infinities, NaN, the largest floats, 2^23, the smallest denormal; as integers the extremes
WORDS = (0, 1, 0x7F800000, 0xFF800000, 0x7FC00000, 0x7F7FFFFF, 0xFF7FFFFF, 0x4B000000, 0xFFFFFFFF, 0x7FFFFFFF, 0x80000000)


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
