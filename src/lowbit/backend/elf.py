"""Symbols of a 64-bit little-endian ELF file and the bytes they stand for."""

from __future__ import annotations

import struct

from lowbit.errors import ArtifactError

__all__ = ["symbols_of"]

_SYMBOLS = 2  # type of a section


def symbols_of(file: bytes) -> dict[str, bytes]:
    """Name -> bytes of every symbol with a size that lies in a section with content.  Raises ArtifactError for a damaged file."""
    try:
        return _read(file)
    except (struct.error, IndexError, ValueError) as error:
        raise ArtifactError(f"an ELF file whose symbols cannot be read: {error}") from None


def _read(file: bytes) -> dict[str, bytes]:
    if file[:6] != b"\x7fELF\x02\x01":
        raise ValueError("not a 64-bit little-endian ELF file")
    (start,) = struct.unpack_from("<Q", file, 40)
    size, count = struct.unpack_from("<HH", file, 58)
    # name, type, flags, address, offset, size, link, info, alignment, entry
    sections = [struct.unpack_from("<IIQQQQIIQQ", file, start + i * size) for i in range(count)]
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
