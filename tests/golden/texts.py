"""The files in ``expected``, and how a text is compared with one."""

from __future__ import annotations

import difflib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

__all__ = ["FOLDER", "compare", "of_this_tvm"]

FOLDER = Path(__file__).parent / "expected"
_TVM = "0.27"  # whose way of writing TensorIR the files have


def compare(name: str, text: str, request: pytest.FixtureRequest) -> None:
    path = FOLDER / name
    text = "".join(f"{line.rstrip()}\n" for line in text.rstrip("\n").splitlines())
    if request.config.getoption("--update-golden"):
        FOLDER.mkdir(exist_ok=True)
        path.write_text(text)
    assert path.is_file(), f"{path.name} is missing; pytest tests/golden --update-golden writes it"
    wanted = path.read_text()
    diff = "".join(difflib.unified_diff(wanted.splitlines(True), text.splitlines(True), "expected", "now", n=1))
    assert text == wanted, f"{name} changed; if it should, run pytest tests/golden --update-golden\n{diff}"


def _tvm() -> str:
    for package in ("apache-tvm", "tvm"):
        try:
            return version(package)
        except PackageNotFoundError:
            continue
    return "none"


of_this_tvm = pytest.mark.skipif(not _tvm().startswith(f"{_TVM}."), reason=f"the files are written by TVM {_TVM}")
