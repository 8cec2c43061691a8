"""Size is what lies on disk."""

from __future__ import annotations

from pathlib import Path

__all__ = ["bytes_on_disk"]


def bytes_on_disk(path: str | Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    path = Path(path)
    if path.is_dir():
        return sum(p.stat().st_size for p in path.rglob("*") if p.is_file())
    return path.stat().st_size
