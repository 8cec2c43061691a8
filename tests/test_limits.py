"""A test that hangs or eats the memory ends, and says where."""

from __future__ import annotations

import subprocess
import sys

HOG = """
from tests.conftest import watch_memory
import threading
threading.Thread(target=watch_memory, args=(200 << 20, 0.02), daemon=True).start()
def grows():
    kept = []
    while True:
        kept.append(bytearray(1 << 20))
grows()
"""


def test_memory_has_a_limit() -> None:
    done = subprocess.run([sys.executable, "-c", HOG], capture_output=True, text=True, timeout=60)
    assert done.returncode == 3
    assert "more than 200 MiB" in done.stderr
    assert "in grows" in done.stderr


def test_a_hang_has_a_limit(request: object) -> None:
    assert request.config.getini("timeout") == "300"  # type: ignore[attr-defined]
    assert request.config.pluginmanager.hasplugin("timeout")  # type: ignore[attr-defined]
