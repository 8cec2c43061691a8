"""Symbols of a 64-bit little-endian ELF file and the bytes they stand for."""

from __future__ import annotations

import struct

from lowbit.errors import ArtifactError

__all__ = ["section_of", "symbols_of"]

_SYMBOLS = 2  # type of a section


def symbols_of(file: bytes) -> dict[str, bytes]:
    """Name -> bytes of every symbol with a size that lies in a section with content.  Raises ArtifactError for a damaged file."""
    try:
        return _read(file)
    except (struct.error, IndexError, ValueError) as error:
        raise ArtifactError(f"an ELF file whose symbols cannot be read: {error}") from None


def section_of(file: bytes, name: str) -> bytes:
    """Bytes of the section ``name``; none where there is no such.  Raises ArtifactError for a damaged file."""
    try:
        sections = _sections(file)
        (number,) = struct.unpack_from("<H", file, 62)
        names = sections[number][4]
        for section in sections:
            begin = names + section[0]
            if file[begin : file.index(b"\0", begin)] == name.encode():
                return file[section[4] : section[4] + section[5]]
    except (struct.error, IndexError, ValueError) as error:
        raise ArtifactError(f"an ELF file whose sections cannot be read: {error}") from None
    return b""


def _sections(file: bytes) -> list[tuple[int, ...]]:
    """name, type, flags, address, offset, size, link, info, alignment, entry of each."""
    if file[:6] != b"\x7fELF\x02\x01":
        raise ValueError("not a 64-bit little-endian ELF file")
    (start,) = struct.unpack_from("<Q", file, 40)
    size, count = struct.unpack_from("<HH", file, 58)
    return [struct.unpack_from("<IIQQQQIIQQ", file, start + i * size) for i in range(count)]


def _read(file: bytes) -> dict[str, bytes]:
    sections = _sections(file)
    count = len(sections)
    found: dict[str, bytes] = {}
    for section in sections:
        if section[1] != _SYMBOLS:
            continue
        names = sections[section[6]]
        for at in range(section[4], section[4] + section[5], section[9]):
            name, _, _, index, value, length = struct.unpack_from("<IBBHQQ", file, at)
            if not length or index == 0 or index >= count:
                continue
            where = sections[index]
            begin = where[4] + value - where[3]
            end = file.index(b"\0", names[4] + name)
            if where[1] != 8:  # a section without content
                found[file[names[4] + name : end].decode(errors="replace")] = file[begin : begin + length]
    return found
