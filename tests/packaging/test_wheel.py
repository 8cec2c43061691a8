"""The built wheel in environments of its own: with everything that lowbit needs, and with numpy alone."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import lowbit
from tests.tiny import network

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(sysconfig.get_paths()["purelib"])


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "-w", str(folder), str(ROOT)], check=True, timeout=300)
    (found,) = folder.glob("lowbit-*.whl")
    return found


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, bool], Path]:
    """Makes a virtual environment that holds the wheel, and what lowbit needs or numpy alone; gives its bin folder."""

    def make(name: str, everything: bool) -> Path:
        folder = tmp_path_factory.mktemp(name)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=300)
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(folder / "bin" / "python")]
        subprocess.run([*pip, "install", "-q", "--no-deps", "--no-index", str(wheel)], check=True, timeout=300)
        (packages,) = folder.glob("lib/python*/site-packages")
        if everything:  # a line of a .pth file is searched after the wheel's own folder, and its own .pth files are not read
            (packages / "needs.pth").write_text(f"{HERE}\n")
        else:
            for path in (*HERE.glob("numpy"), *HERE.glob("numpy.libs")):
                (packages / path.name).symlink_to(path)
        return folder / "bin"

    return make


def _run(command: list[str | Path], folder: Path) -> subprocess.CompletedProcess[str]:
    environ = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(folder), "OMP_NUM_THREADS": "1"}
    return subprocess.run([*map(str, command)], cwd=folder, env=environ, capture_output=True, text=True, timeout=300)


def test_the_wheel_compiles_and_runs(environment: Callable[[str, bool], Path], tmp_path: Path) -> None:
    bin_ = environment("whole", True)
    (tmp_path / "mine.py").write_text(
        "import torch\n"
        "from torch import nn\n"
        "def net():\n"
        "    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3)).eval(), torch.rand(1, 3, 8, 8)\n"
    )
    (tmp_path / "use.py").write_text(
        "import lowbit, mine, torch, numpy\n"
        "print(lowbit.__file__)\n"
        "model, x = mine.net()\n"
        "net = lowbit.compile(model, x, config='4/int4', calibration=[x])\n"
        "from lowbit.graph.interpreter import interpret\n"
        "g = net.graph()\n"
        "(wanted,) = interpret(g, [x.numpy()])\n"
        "assert numpy.array_equal(net(x).numpy(), wanted)\n"
        "with torch.no_grad():\n"
        "    print(tuple(torch.compile(model, backend='lowbit')(x).shape))\n"
    )
    done = _run([bin_ / "python", "use.py"], tmp_path)
    assert done.returncode == 0, done.stderr
    where, shape = done.stdout.splitlines()
    assert where.startswith(str(bin_.parent))
    assert shape == "(1, 4, 4, 4)"
    done = _run([bin_ / "lowbit", "compile", "mine:net", "--weights", "i4", "--activations", "u8", "-o", "net.lowbit"], tmp_path)
    assert done.returncode == 0, done.stderr
    done = _run([bin_ / "lowbit", "inspect", "net.lowbit", "--verify"], tmp_path)
    assert done.returncode == 0, done.stderr + done.stdout


def test_numpy_alone_loads_and_runs(environment: Callable[[str, bool], Path], tmp_path: Path) -> None:
    model, x = network()
    net = lowbit.compile(model, x, config="4/int4", calibration=[x])
    net.save(tmp_path / "net.lowbit")
    np.save(tmp_path / "x.npy", x.numpy())
    (tmp_path / "use.py").write_text(
        "import sys, numpy, lowbit\n"
        "net = lowbit.load('net.lowbit')\n"
        "numpy.save('y.npy', net(numpy.load('x.npy')))\n"
        "assert not {'torch', 'tvm', 'typer', 'rich'} & set(sys.modules)\n"
        "try:\n"
        "    import torch\n"
        "except ModuleNotFoundError:\n"
        "    print('no torch')\n"
    )
    bin_ = environment("slim", False)
    done = _run([bin_ / "python", "use.py"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "no torch\n"
    assert np.array_equal(np.load(tmp_path / "y.npy"), net(x.numpy()))
    done = _run([bin_ / "lowbit", "--help"], tmp_path)
    assert done.returncode != 0
    assert "pip install typer" in done.stderr
    assert "Traceback" not in done.stderr


def test_type_checkers_read_the_types(environment: Callable[[str, bool], Path], tmp_path: Path) -> None:
    bin_ = environment("typed", False)
    (tmp_path / "use.py").write_text("import lowbit\nreveal_type(lowbit.load('net.lowbit'))\nlowbit.load(3)\n")
    mypy = [sys.executable, "-m", "mypy", "--python-executable", bin_ / "python", "--follow-imports", "silent", "use.py"]
    said = _run([*mypy], tmp_path).stdout
    assert 'Revealed type is "lowbit.runtime.compiled.Compiled"' in said, said
    assert "use.py:3: error: Argument 1 to" in said
