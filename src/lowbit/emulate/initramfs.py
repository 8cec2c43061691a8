"""The file system a kernel starts with: a cpio archive in the "newc" format, made without special rights."""

from __future__ import annotations

import stat
from collections.abc import Mapping

__all__ = ["make_initramfs"]


def _entry(number: int, name: str, mode: int, data: bytes = b"", device: tuple[int, int] = (0, 0)) -> bytes:
    """Eight hexadecimal digits a field: inode, mode, uid, gid, links, mtime, size, two devices of two fields, name, check."""
    path = name.encode() + b"\0"
    fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(path), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + path
    return head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)


def make_initramfs(files: Mapping[str, bytes]) -> bytes:
    """An archive of executable ``files`` by path, and /dev/console."""
    entries = [_entry(1, "dev", stat.S_IFDIR | 0o755), _entry(2, "dev/console", stat.S_IFCHR | 0o600, device=(5, 1))]
    entries += [_entry(3 + i, name, stat.S_IFREG | 0o755, data) for i, (name, data) in enumerate(files.items())]
    return b"".join([*entries, _entry(0, "TRAILER!!!", 0)])
