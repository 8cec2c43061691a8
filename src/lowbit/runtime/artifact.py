"""The ``.lowbit`` file: named sections, each with its digest.

::

    0   magic 89 "LOWBIT" 0a | format u32 | 0 u32 | file bytes u64 | index bytes u64
    32  digest of bytes 0..31 and of the index
    64  index, JSON: {"sections": [{"name", "offset", "stored", "size", "encoding", "digest"}, ...]}
        sections in that order, each on a multiple of 64, zeros between; encoding "raw" or "zlib"

All numbers little-endian.  A digest is BLAKE2b of 32 bytes, in the index as hexadecimal digits.  ``stored``
bytes lie in the file, ``size`` once decoded; a section's digest is of its stored bytes.  No section decodes to
more than 64 times its stored bytes, or 1 MiB if that is more: what would, is stored raw.

Opening a file checks all of it but the weights: the library does that when it unpacks them, by the sum in their
header.  Whoever reads them as a section gets them checked by their digest.
"""

from __future__ import annotations

import json
import os
import struct
import weakref
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lowbit.errors import ArtifactError
from lowbit.files import write_whole

try:
    from _blake2 import blake2b  # importing hashlib loads OpenSSL: 4 MB and 4 ms for functions not used here
except ImportError:
    from hashlib import blake2b

__all__ = ["FORMAT", "Artifact", "Section", "data_digest", "file_digest", "pack_artifact", "read_artifact", "write_artifact"]

FORMAT = 4
_MAGIC = b"\x89LOWBIT\n"
_HEADER = struct.Struct("<8sIIQQ32s")
_ALIGN = 64
_RAW = ("weights.bin",)  # bit fields: read in place, as long in the file as they are, with a sum of their own
_DIGEST = 32
_RATIO, _SMALL = 64, 1 << 20  # how much larger than its stored bytes a section may be; and what any may be
_PIECE = 1 << 20


@dataclass(frozen=True)
class Section:
    """One entry of the index."""

    name: str
    offset: int
    stored: int
    size: int
    encoding: str
    digest: str


@dataclass(frozen=True, eq=False)
class Artifact(Mapping[str, bytes]):
    """An opened artifact: maps section names to their decoded bytes, read when asked for.

    The file stays open while this lives, as ``file`` (a descriptor), also when another takes its name.
    """

    path: Path
    file: int
    sections: tuple[Section, ...]
    manifest: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        weakref.finalize(self, os.close, self.file)
        try:
            manifest = json.loads(self["manifest.json"])
        except (KeyError, ValueError, RecursionError) as error:
            raise ArtifactError(f"{self.path}: the manifest is missing or malformed: {error}") from None
        if not isinstance(manifest, dict):
            raise ArtifactError(f"{self.path}: the manifest is missing or malformed: it is no JSON object")
        object.__setattr__(self, "manifest", manifest)

    def digest(self) -> str:
        """:func:`file_digest` of the file as it is now."""
        return file_digest(self.path, self.file)

    def place(self, name: str) -> Section:
        """Where a section lies.  Raises KeyError."""
        for section in self.sections:
            if section.name == name:
                return section
        raise KeyError(name)

    def __getitem__(self, name: str) -> bytes:
        """Raises KeyError; ArtifactError: the section is not what its digest says, or does not decode."""
        section = self.place(name)
        return _decode(self.path, section, _stored(self.path, self.file, section))

    def __contains__(self, name: object) -> bool:
        """Without reading the section, which Mapping's own way would."""
        return any(section.name == name for section in self.sections)

    def __iter__(self) -> Iterator[str]:
        return (section.name for section in self.sections)

    def __len__(self) -> int:
        return len(self.sections)


def _digest(data: bytes | bytearray | memoryview) -> bytes:
    return blake2b(data, digest_size=_DIGEST).digest()


def _decode(path: Path, section: Section, stored: bytes) -> bytes:
    if section.encoding == "raw":
        return stored
    try:
        unzip = zlib.decompressobj()
        data = unzip.decompress(stored, section.size + 1)
    except zlib.error as error:
        raise ArtifactError(f"{path}: section {section.name} is damaged: {error}") from None
    if len(data) != section.size:
        raise ArtifactError(f"{path}: section {section.name} does not decode to its {section.size} bytes")
    return data


def _read(path: Path, file: int, offset: int, size: int) -> bytes:
    """Exactly ``size`` bytes."""
    pieces = []
    try:
        while size:
            piece = os.pread(file, size, offset)
            if not piece:
                raise ArtifactError(f"{path} is truncated: it ends at byte {offset}, {size} bytes too early")
            pieces.append(piece)
            offset, size = offset + len(piece), size - len(piece)
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror}") from None
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _stored(path: Path, file: int, section: Section) -> bytes:
    """The bytes of a section as they lie in the file, checked."""
    data = _read(path, file, section.offset, section.stored)
    if _digest(data).hex() != section.digest:
        raise ArtifactError(f"{path} is damaged: the checksum (BLAKE2b) of section {section.name} does not match")
    return data


def _most(stored: int) -> int:
    """Bytes that a section of ``stored`` bytes may decode to."""
    return max(_SMALL, _RATIO * stored)


def _align(offset: int) -> int:
    return -(-offset // _ALIGN) * _ALIGN


def write_artifact(path: str | Path, manifest: Mapping[str, Any], sections: Mapping[str, bytes | memoryview]) -> Path:
    """Write ``sections`` and the manifest (as section "manifest.json"); replaces ``path`` at once or not at all.

    Raises ArtifactError where the file cannot be written.
    """
    write_whole(path, pack_artifact(manifest, sections), error=ArtifactError)
    return Path(path)


def pack_artifact(manifest: Mapping[str, Any], sections: Mapping[str, bytes | memoryview]) -> bytearray:
    """The bytes of the file."""
    content = {"manifest.json": json.dumps(manifest, indent=1).encode(), **sections}
    stored: dict[str, bytes | memoryview] = {}
    for name, data in content.items():
        packed = data if name in _RAW else zlib.compress(data, 6)
        stored[name] = packed if len(packed) < len(data) <= _most(len(packed)) else data

    digests = {name: _digest(data).hex() for name, data in stored.items()}

    def index(at: int) -> tuple[bytes, list[int]]:
        """The index if sections start at ``at``, and their offsets."""
        entries, offsets = [], []
        for name, data in content.items():
            offsets.append(at)
            encoding = "raw" if stored[name] is data else "zlib"
            size = len(stored[name])
            entries.append(asdict(Section(name, at, size, len(data), encoding, digests[name])))
            at = _align(at + size)
        return json.dumps({"sections": entries}).encode(), offsets

    # Offsets have few digits more or less, so a little room behind the index settles where sections start.
    first = _align(_HEADER.size + len(index(0)[0]) + 24 * len(content))
    text, offsets = index(first)
    file = bytearray(_HEADER.size) + text
    for data, offset in zip(stored.values(), offsets, strict=True):
        file += bytes(offset - len(file))
        file += data
    head = _HEADER.pack(_MAGIC, FORMAT, 0, len(file), len(text), b"")[:32]
    file[: _HEADER.size] = head + _digest(head + text)
    return file


def file_digest(path: Path, file: int) -> str:
    """BLAKE2b of 32 bytes of all bytes of an open file, in hexadecimal digits: what ``b2sum -l 256`` prints.

    Raises ArtifactError where it cannot be read."""
    total, at = blake2b(digest_size=_DIGEST), 0
    try:
        while piece := os.pread(file, _PIECE, at):
            total.update(piece)
            at += len(piece)
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror}") from None
    return total.hexdigest()


def data_digest(data: bytes | bytearray) -> str:
    """The same of bytes."""
    return _digest(data).hex()


def _sections(path: Path, text: bytes, start: int, total: int) -> tuple[Section, ...]:
    try:
        sections = tuple(Section(**entry) for entry in json.loads(text)["sections"])
        if not all(isinstance(s.name, str) and isinstance(s.digest, str) for s in sections):
            raise ValueError("a name or digest is no text")
        if len({s.name for s in sections}) < len(sections):
            raise ValueError("two sections have one name")
        for s in sections:
            numbers = all(type(n) is int and n >= 0 for n in (s.offset, s.stored, s.size))
            if not numbers or s.offset < start or s.offset + s.stored > total or s.encoding not in ("raw", "zlib"):
                raise ValueError(f"section {s.name!r} lies outside the file or over another")
            if s.size != s.stored if s.encoding == "raw" else s.size > _most(s.stored):
                raise ValueError(f"section {s.name!r} would decode from {s.stored} bytes to {s.size}")
            start = s.offset + s.stored
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ArtifactError(f"{path}: the index is malformed: {error}") from None
    return sections


def _checked(path: Path, file: int) -> tuple[Section, ...]:
    """The index of a file that is whole, perhaps but for its weights."""
    size = os.fstat(file).st_size
    if size < _HEADER.size:
        raise ArtifactError(f"{path} is not a lowbit artifact: {size} bytes are fewer than its header has")
    header = _read(path, file, 0, _HEADER.size)
    magic, version, _, total, index_bytes, checksum = _HEADER.unpack(header)
    if magic != _MAGIC:
        raise ArtifactError(f"{path} is not a lowbit artifact: it does not start with the bytes {_MAGIC!r}")
    if version != FORMAT:
        again = f"; compile the network again: lowbit compile NETWORK -o {path}" if 0 < version < FORMAT else ""
        known = f"this lowbit reads format {FORMAT}{again}"
        age = "newer" if version > FORMAT else "older" if version else "unknown"
        raise ArtifactError(f"{path} has the {age} artifact format {version}; {known}")
    if total != size:
        what = "truncated" if size < total else "altered: bytes follow its end"
        raise ArtifactError(f"{path} is {what}: it has {size} bytes and should have {total}")
    if index_bytes > total - _HEADER.size:
        raise ArtifactError(f"{path}: the index is malformed: it is longer than the file")
    text = _read(path, file, _HEADER.size, index_bytes)
    if _digest(header[:32] + text) != checksum:
        raise ArtifactError(f"{path} is damaged: the checksum (BLAKE2b) of its index does not match")
    start = _HEADER.size + index_bytes
    sections = _sections(path, text, start, total)
    for section in sections:
        if any(_read(path, file, start, section.offset - start)):
            raise ArtifactError(f"{path} is damaged: there is something between its sections, before {section.name}")
        if section.name not in _RAW:
            _stored(path, file, section)
        start = section.offset + section.stored
    if start != total:
        raise ArtifactError(f"{path}: the index is malformed: its sections end at byte {start} of {total}")
    return sections


def read_artifact(path: str | Path, expect: str | None = None) -> Artifact:
    """Open and check a file; ``expect``: the :func:`file_digest` it must have.

    Raises ArtifactError: it cannot be read, is no artifact, has another format, is truncated, has bytes
    too many, or a byte outside the weights differs from what was written (checksum); or it has another digest than
    ``expect``, which is looked at before anything else in it.
    """
    path = Path(path)
    try:
        with path.open("rb") as opened:
            file = os.dup(opened.fileno())
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror}") from None
    try:
        if expect is not None and (digest := file_digest(path, file)) != expect:
            raise ArtifactError(f"{path} is not the file that was expected: its BLAKE2b-256 is {digest}, not {expect}")
        sections = _checked(path, file)
    except BaseException as error:
        os.close(file)
        if isinstance(error, OSError):
            raise ArtifactError(f"cannot read {path}: {error.strerror}") from None
        raise
    return Artifact(path, file, sections)
