"""The ``.lowbit`` file: named sections under one checksum.

::

    0   magic 89 "LOWBIT" 0a | format u32 | 0 u32 | file bytes u64 | index bytes u64
    32  sha256 of bytes 0..31 and of everything from byte 64 on
    64  index, JSON: {"sections": [{"name", "offset", "stored", "size", "encoding", "sha256"}, ...]}
        sections, each on a multiple of 64, zeros between; encoding "raw" or "zlib"

All numbers little-endian.  ``stored`` bytes lie in the file, ``size`` once decoded; a section's sha256 is
of its decoded bytes.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import struct
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from lowbit.errors import ArtifactError

__all__ = ["FORMAT", "Artifact", "Section", "read_artifact", "write_artifact"]

FORMAT = 1
_MAGIC = b"\x89LOWBIT\n"
_HEADER = struct.Struct("<8sIIQQ32s")
_ALIGN = 64
_RAW = ("weights.bin",)  # bit fields: read in place, and as long in the file as they are


@dataclass(frozen=True)
class Section:
    """One entry of the index."""

    name: str
    offset: int
    stored: int
    size: int
    encoding: str
    sha256: str


@dataclass(frozen=True, eq=False)
class Artifact(Mapping[str, "bytes | memoryview"]):
    """An opened artifact: maps section names to their decoded bytes.  The file stays mapped while this lives."""

    path: Path
    manifest: dict[str, Any]
    sections: tuple[Section, ...]
    _view: memoryview = field(repr=False)

    def __getitem__(self, name: str) -> bytes | memoryview:
        """Raw sections are views of the file.  Raises KeyError, ArtifactError for bad compressed data."""
        for section in self.sections:
            if section.name == name:
                return _decode(self.path, section, self._view[section.offset : section.offset + section.stored])
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return (section.name for section in self.sections)

    def __len__(self) -> int:
        return len(self.sections)


def _decode(path: Path, section: Section, stored: memoryview) -> bytes | memoryview:
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


def _align(offset: int) -> int:
    return -(-offset // _ALIGN) * _ALIGN


def write_artifact(path: str | Path, manifest: Mapping[str, Any], sections: Mapping[str, bytes | memoryview]) -> Path:
    """Write ``sections`` and the manifest (as section "manifest.json"); replaces ``path`` at once or not at all.

    Raises ArtifactError where the file cannot be written.
    """
    path = Path(path)
    content = {"manifest.json": json.dumps(manifest, indent=1).encode(), **sections}
    stored: dict[str, bytes | memoryview] = {}
    for name, data in content.items():
        packed = data if name in _RAW else zlib.compress(data, 6)
        stored[name] = packed if len(packed) < len(data) else data

    digests = {name: hashlib.sha256(data).hexdigest() for name, data in content.items()}

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
    body = bytearray(text)
    for data, offset in zip(stored.values(), offsets, strict=True):
        body += bytes(offset - _HEADER.size - len(body))
        body += data
    head = _HEADER.pack(_MAGIC, FORMAT, 0, _HEADER.size + len(body), len(text), b"")[:32]
    digest = hashlib.sha256(head)
    digest.update(body)
    _replace(path, head + digest.digest(), body)
    return path


def _replace(path: Path, *pieces: bytes | bytearray) -> None:
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise ArtifactError(f"cannot write {path}: {path.parent}: {error.strerror}") from None
    try:
        with os.fdopen(handle, "wb") as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, path)
    except BaseException as error:
        with suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError):
            raise ArtifactError(f"cannot write {path}: {error.strerror}") from None
        raise


def _map(path: Path) -> memoryview:
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size < _HEADER.size:
                raise ArtifactError(f"{path} is not a lowbit artifact: {size} bytes are fewer than its header has")
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror}") from None


def _sections(path: Path, text: bytes, start: int, total: int) -> tuple[Section, ...]:
    try:
        sections = tuple(Section(**entry) for entry in json.loads(text)["sections"])
        for s in sections:
            numbers = all(isinstance(n, int) and n >= 0 for n in (s.offset, s.stored, s.size))
            if not numbers or s.offset < start or s.offset + s.stored > total or s.encoding not in ("raw", "zlib"):
                raise ValueError(f"section {s.name!r} lies outside the file")
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ArtifactError(f"{path}: the index is malformed: {error}") from None
    return sections


def read_artifact(path: str | Path) -> Artifact:
    """Open and check a file.

    Raises ArtifactError: it cannot be read, is no artifact, has a newer format, is truncated, has bytes
    too many, or a byte differs from what was written (checksum).
    """
    path = Path(path)
    view = _map(path)
    magic, version, _, total, index_bytes, checksum = _HEADER.unpack_from(view)
    if magic != _MAGIC:
        raise ArtifactError(f"{path} is not a lowbit artifact: it does not start with the bytes {_MAGIC!r}")
    if version != FORMAT:
        known = f"this lowbit reads format {FORMAT}"
        raise ArtifactError(f"{path} has the {'newer ' if version > FORMAT else 'unknown '}artifact format {version}; {known}")
    if total != len(view):
        what = "truncated" if len(view) < total else "altered: bytes follow its end"
        raise ArtifactError(f"{path} is {what}: it has {len(view)} bytes and should have {total}")
    digest = hashlib.sha256(view[:32])
    digest.update(view[_HEADER.size :])
    if digest.digest() != checksum:
        raise ArtifactError(f"{path} is damaged: its checksum (sha256) does not match")
    if index_bytes > total - _HEADER.size:
        raise ArtifactError(f"{path}: the index is malformed: it is longer than the file")
    sections = _sections(path, bytes(view[_HEADER.size : _HEADER.size + index_bytes]), _HEADER.size + index_bytes, total)
    artifact = Artifact(path, {}, sections, view)
    try:
        manifest = json.loads(bytes(artifact["manifest.json"]))
    except (KeyError, ValueError, RecursionError) as error:
        raise ArtifactError(f"{path}: the manifest is missing or malformed: {error}") from None
    if not isinstance(manifest, dict):
        raise ArtifactError(f"{path}: the manifest is missing or malformed: it is no JSON object")
    return replace(artifact, manifest=manifest)
