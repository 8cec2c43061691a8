"""Compiling, tuning and saving, killed at random moments by SIGKILL, two processes at a time in one cold cache.

``campaign(seed, kills)`` makes that many kills.  After each round the files that are there must be whole, and the same
thing done once more, with what was left of the cache, must come to the same bytes.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

__all__ = ["ACTIONS", "campaign"]

ROOT = Path(__file__).resolve().parents[2]


def _compile(folder: Path, name: str) -> None:
    """Cold cache -> kernels, runtime, library, artifact."""
    import lowbit
    from tests import tiny

    network = lowbit.compile(*tiny.network(), config="8/int8", threads=1, progress=False, tuning=False, name="tiny")
    network.save(folder / f"{name}.lowbit")


def _tune(folder: Path, name: str) -> None:
    """A database of decisions, then a network that uses them."""
    import lowbit
    from tests import tiny

    model, example = tiny.network()
    lowbit.tune(model, example, config="8/int8", threads=1, seconds=0.2, trials=2, progress=False)
    lowbit.compile(model, example, config="8/int8", threads=1, progress=False, name="tiny").save(folder / f"{name}.lowbit")


def _save(folder: Path, name: str) -> None:
    """One name, written by all again and again, and exported beside it."""
    import lowbit

    network = lowbit.load(os.environ["KILLS_ARTIFACT"], threads=1)
    for _ in range(20):
        network.save(folder / "same.lowbit")
        network.export_library(folder / "exported")


ACTIONS: dict[str, Callable[[Path, str], None]] = {"compile": _compile, "tune": _tune, "save": _save}


def _forked(action: str, folder: Path, name: str) -> int:
    """A process that does it; its cache is ``folder/cache``, its exit status 0 when it is done."""
    child = os.fork()
    if child:
        return child
    try:
        os.environ["LOWBIT_CACHE"] = str(folder / "cache")
        os.environ["LOWBIT_TUNING"] = "on"
        ACTIONS[action](folder, name)
        os._exit(0)
    except BaseException as error:
        print(f"{action}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        os._exit(1)


def _finished(child: int) -> bool:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _check(action: str, folder: Path, reference: bytes) -> None:
    """What is there is whole."""
    import numpy as np

    import lowbit
    from lowbit.backend.cache import read_entry

    x = np.linspace(-2, 2, 192, dtype=np.float32).reshape(1, 3, 8, 8)
    for path in folder.glob("*.lowbit"):
        if action == "tune":  # other decisions, the same integers
            expected = lowbit.load(os.environ["KILLS_ARTIFACT"], threads=1)
            assert np.array_equal(lowbit.load(path, threads=1)(x), expected(x)), f"{path.name} computes something else"
        else:
            assert path.read_bytes() == reference, f"{path.name} is not whole"
    for path in (folder / "cache").rglob("*.o"):
        assert read_entry(path) is not None, f"{path} is not whole"
    if (folder / "exported").exists():
        network = lowbit.load(os.environ["KILLS_ARTIFACT"], threads=1)
        sizes = {len(network.section(name)) for name in ("library.so", "weights.bin")}
        for path in folder.glob("exported/[!.]*"):
            if path.suffix in (".so", ".weights"):
                assert path.stat().st_size in sizes, f"{path.name} is cut"


def _round(action: str, dice: random.Random, root: Path, reference: bytes, seconds: float, kills: int) -> Counter[str]:
    """Two at once, up to ``kills`` of them killed; then once more to the end."""
    folder = Path(tempfile.mkdtemp(dir=root))
    counts: Counter[str] = Counter()
    children = [_forked(action, folder, f"net{i}") for i in range(2)]
    start = time.monotonic()
    moments = sorted((dice.uniform(0, seconds), child) for child in children)
    for moment, child in moments[:kills]:
        time.sleep(max(0.0, start + moment - time.monotonic()))
        os.kill(child, signal.SIGKILL)
        counts["kills"] += 1
        counts["while at it"] += not _finished(child)
    for _, child in moments[kills:]:
        assert _finished(child), f"{action}: the one that was left alone failed"
    _check(action, folder, reference)
    assert _finished(_forked(action, folder, "net0")), f"{action}: the next run failed"
    _check(action, folder, reference)
    assert list(folder.glob("*.lowbit"))
    shutil.rmtree(folder)
    return counts


def _work(seed: int, kills: int) -> None:
    import tvm  # noqa: F401  imported once, before processes are forked

    import lowbit.tuning.session  # noqa: F401

    warnings.simplefilter("ignore")
    dice, counts = random.Random(seed), Counter[str]()
    with tempfile.TemporaryDirectory(prefix="lowbit-kills-") as name:
        root = Path(name)
        (root / "reference").mkdir()
        os.environ["KILLS_ARTIFACT"] = str(root / "reference" / "net.lowbit")
        seconds = {}
        for action in ACTIONS:
            start = time.monotonic()
            folder = root / "reference" if action == "compile" else Path(tempfile.mkdtemp(dir=root))
            assert _finished(_forked(action, folder, "net")), action
            seconds[action] = time.monotonic() - start
        reference = (root / "reference" / "net.lowbit").read_bytes()
        actions = ["compile", "tune", "save", "compile"]
        while counts["kills"] < kills:
            action = actions[counts["rounds"] % len(actions)]
            left = min(kills - counts["kills"], dice.choice((1, 2, 2)))
            counts += _round(action, dice, root, reference, 1.6 * seconds[action], left)
            counts["rounds"] += 1
            counts[action] += 1
    print(json.dumps(counts))


def campaign(seed: int, kills: int) -> dict[str, int]:
    """Kill that many processes; counts of rounds by action, and of kills that were not too late.

    Raises AssertionError with what was half written, or what the next run came to."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.errors.kills", str(seed), str(kills)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120 + 60 * kills)
    assert done.returncode == 0, f"seed {seed}: {done.stderr[-4000:]}"
    return dict(json.loads(done.stdout.splitlines()[-1]))


if __name__ == "__main__":
    _work(int(sys.argv[1]), int(sys.argv[2]))
