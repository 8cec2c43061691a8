from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from lowbit.errors import ArtifactError
from tests.backend.toy import linear_reference
from tests.runtime.toy import toy_compiled


def test_the_example_builds_as_its_text_says_and_computes_the_same(tmp_path: Path) -> None:
    network, values = toy_compiled(name="Toy-1")
    folder = network.export_library(tmp_path / "new" / "folder")
    assert sorted(p.name for p in folder.iterdir()) == ["README.md", "libtoy_1.so", "main.c", "toy_1.h", "toy_1.weights"]
    readme = (folder / "README.md").read_text()
    build = next(line for line in readme.splitlines() if line.startswith("cc "))
    assert build in (folder / "main.c").read_text()
    assert "- input 0: float32 [1, 30] (x)" in readme
    subprocess.run(f"{build} -Wall -Wextra -Werror -pedantic", shell=True, check=True, cwd=folder)
    x = np.arange(-11, 19, dtype=np.float32)
    x.tofile(folder / "x.raw")
    done = subprocess.run(["./main", "toy_1.weights", "x.raw"], cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(np.array(done.stdout.split(), np.float32), linear_reference(values, x).reshape(-1))

    assert subprocess.run(["./main"], cwd=folder, capture_output=True).returncode == 2
    (folder / "short.raw").write_bytes(b"1234")
    for arguments, said in (
        (["toy_1.weights", "short.raw"], "cannot read 30 float32"),
        (["main.c", "x.raw"], "not a lowbit weight file"),
    ):
        done = subprocess.run(["./main", *arguments], cwd=folder, capture_output=True, text=True)
        assert done.returncode == 1
        assert said in done.stderr


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match="cannot write into"):
        toy_compiled()[0].export_library(tmp_path / "file" / "folder")
