"""What can be wrong with inputs of a compiled network, and with the file it is loaded from."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

import lowbit
from lowbit.errors import ArtifactError, InputError
from tests.errors.processes import CLI, finish, start

X = np.random.default_rng(0).standard_normal((1, 3, 8, 8), np.float32)


@pytest.mark.parametrize("config", ["fp32", "4/int4"])
@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ((X.astype(np.float64),), r"tiny, input 0 \(x\): expected float32, got float64; cast it first: x\.astype"),
        ((torch.from_numpy(X).double(),), r"expected float32, got float64; cast it first: x\.float"),
        ((X.astype(np.uint8),), "expected float32, got uint8"),
        ((X[0],), r"expected shape \(1, 3, 8, 8\), got \(3, 8, 8\); shapes are fixed"),
        ((np.repeat(X, 2, 0),), r"got \(2, 3, 8, 8\)"),
        ((X.transpose(0, 2, 3, 1),), r"got \(1, 8, 8, 3\)"),
        ((X[:, :, :0],), r"got \(1, 3, 0, 8\)"),
        ((X, X), "tiny takes 1 inputs, 2 given"),
        ((), "tiny takes 1 inputs, 0 given"),
        (("x",), "expected a torch tensor or numpy array, got str"),
    ],
)
def test_inputs(artifacts: Mapping[str, Path], config: str, inputs: tuple[object, ...], message: str) -> None:
    network = lowbit.load(artifacts[config])
    with pytest.raises(InputError, match=message):
        network(*inputs)
    assert np.isfinite(network(X)).all()  # a refused call leaves it as it was


def test_damage_anywhere_is_an_artifact_error(artifacts: Mapping[str, Path], tmp_path: Path) -> None:
    """Altered, cut, and lengthened at seeded random places: never a crash, never a network."""
    whole, path = artifacts["4/int4"].read_bytes(), tmp_path / "damaged.lowbit"
    dice = random.Random(0)
    for at in [*range(0, 64, 5), *(dice.randrange(len(whole)) for _ in range(20)), len(whole) - 1]:
        path.write_bytes(whole[:at] + bytes([whole[at] ^ (1 << dice.randrange(8))]) + whole[at + 1 :])
        with pytest.raises(ArtifactError, match=str(path)):
            lowbit.load(path)
    for size in [0, 1, 63, 64, *(dice.randrange(len(whole)) for _ in range(10)), len(whole) - 1]:
        path.write_bytes(whole[:size])
        with pytest.raises(ArtifactError, match="truncated|not a lowbit artifact"):
            lowbit.load(path)
    path.write_bytes(whole + b"\0")
    with pytest.raises(ArtifactError, match="bytes follow its end"):
        lowbit.load(path)


def test_the_command_line_says_it_in_one_line(artifacts: Mapping[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "cut.lowbit"
    path.write_bytes(artifacts["8/int8"].read_bytes()[:-1])
    np.save(tmp_path / "x.npy", X)
    status, stdout, stderr = finish(start(*CLI, "run", path, tmp_path / "x.npy", "-o", tmp_path / "y.npy"))
    assert (status, stdout) == (2, "")
    assert "ArtifactError" in stderr
    assert "truncated" in stderr
    assert "Traceback" not in stderr
    assert not (tmp_path / "y.npy").exists()
