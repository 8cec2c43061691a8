"""Several workers at one study: a real PostgreSQL server, one of two workers killed."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from lowbit.searching.study import open_storage, quiet_optuna
from tests.searching.networks import images

ROOT = Path(__file__).resolve().parents[2]


def _program(name: str) -> Path | None:
    found = shutil.which(name)
    return Path(found) if found else next(iter(sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)), None)


def _user() -> str | None:
    """PostgreSQL refuses to run as root."""
    return "postgres" if os.geteuid() == 0 else None


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


@pytest.fixture(scope="module")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server on loopback, in a folder of its own."""
    initdb, pg_ctl = _program("initdb"), _program("pg_ctl")
    if initdb is None or pg_ctl is None:
        pytest.skip("no PostgreSQL server: apt-get install postgresql")
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install lowbit[postgresql]")
    import tempfile

    folder, port = Path(tempfile.mkdtemp(prefix="lowbit-pg-")), free_port()
    if _user():
        shutil.chown(folder, _user())

    def call(*command: Any) -> None:
        subprocess.run([str(part) for part in command], check=True, user=_user(), capture_output=True, cwd=folder, timeout=120)

    data = folder / "data"
    call(initdb, "-D", data, "-U", "lowbit", "-A", "trust", "--no-sync")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
    call(pg_ctl, "-D", data, "-l", folder / "log", "-o", options, "-w", "start")
    try:
        yield f"postgresql://lowbit@127.0.0.1:{port}/postgres"
    finally:
        call(pg_ctl, "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    x, labels = images()
    np.savez(tmp_path / "data.npz", images=x, labels=labels)
    return tmp_path / "data.npz"


def start(*arguments: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "lowbit", "search", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT)


def finished(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output
    return output


def begin(storage: str, data: Path, trials: int, *more: Any) -> list[Any]:
    return [
        "tests.searching.networks:example", "--data", data, "--storage", storage, "--strategy", "random", "--objectives",
        "accuracy,latency,size", "--trials", trials, "--threads", 1, "--heartbeat", 1, "--uniform", "none", "--weights", "2..8",
        *more,
    ]  # fmt: skip


def study_of(storage: str) -> Any:
    with quiet_optuna():
        return optuna.load_study(study_name="lowbit", storage=open_storage(storage))


def kill_in_a_trial(process: subprocess.Popen[str], study: Any, seconds: float = 200) -> int:
    """The number of a trial of this worker, which is killed in the middle of it."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        assert process.poll() is None, process.communicate()[0]
        process.send_signal(signal.SIGSTOP)
        running = [
            trial.number
            for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
            if trial.user_attrs.get("worker", "").endswith(f":{process.pid}")
        ]
        if running:
            process.kill()
            process.wait()
            return int(running[0])
        process.send_signal(signal.SIGCONT)
        time.sleep(0.05)
    raise AssertionError("no trial was seen running")


def test_a_killed_workers_trial_is_tried_again(postgresql: str, data: Path) -> None:
    trials = 14
    finished(start(*begin(postgresql, data, 1)))  # makes the study; its trials are then those of the workers
    with quiet_optuna():
        study = study_of(postgresql)
        held = study.user_attrs["lowbit"]
        study.set_user_attr("lowbit", {**held, "settings": {**held["settings"], "trials": trials}})
        workers = [start("worker", "--storage", postgresql) for _ in range(2)]
        number = kill_in_a_trial(workers[0], study)
        output = finished(workers[1])
        study = study_of(postgresql)
        found = study.get_trials()
    assert "lowbit pareto" in output or "trials" in output
    states = Counter(trial.state for trial in found)
    assert states[TrialState.COMPLETE] == trials
    assert found[number].state == TrialState.FAIL
    again = [trial for trial in found if trial.system_attrs.get("failed_trial") == number]
    assert [trial.state for trial in again] == [TrialState.COMPLETE]
    assert found[number].params.items() <= again[0].params.items()  # it may be killed while its plan is drawn
    complete = [trial for trial in found if trial.state == TrialState.COMPLETE]
    assert len({trial.number for trial in complete}) == trials
    assert all({"accuracy", "latency", "size"} <= set(trial.user_attrs["lowbit"]["metrics"]) for trial in complete)
    assert not states[TrialState.RUNNING]
    assert not states[TrialState.WAITING]


def test_two_workers_share_the_trials(tmp_path: Path, data: Path) -> None:
    """On SQLite, a file: none is lost, none too many."""
    storage = f"sqlite:///{tmp_path / 's.db'}"
    finished(start(*begin(storage, data, 1)))
    with quiet_optuna():
        study = study_of(storage)
        held = study.user_attrs["lowbit"]
        study.set_user_attr("lowbit", {**held, "settings": {**held["settings"], "trials": 12}})
        for worker in [start("worker", "--storage", storage) for _ in range(2)]:
            finished(worker)
        found = study_of(storage).get_trials()
    complete = [trial for trial in found if trial.state == TrialState.COMPLETE]
    assert len(complete) == 12
    assert len({trial.user_attrs["worker"] for trial in complete}) == 3


def test_a_worker_of_another_network_is_refused(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = f"sqlite:///{tmp_path / 's.db'}"
    finished(start(*begin(storage, data, 1)))
    x, labels = images(96, 7)
    np.savez(tmp_path / "other.npz", images=x, labels=labels)
    worker = start("worker", "--storage", storage, "--data", tmp_path / "other.npz")
    output, _ = worker.communicate(timeout=200)
    assert worker.returncode == 2
    assert "was begun with another search" in output


def test_a_proxy_serves_a_storage(tmp_path: Path, data: Path) -> None:
    """Optuna's gRPC server in front of a file."""
    pytest.importorskip("grpc", reason="grpcio is not installed")
    port = free_port()
    code = (
        "import optuna; optuna.storages.run_grpc_proxy_server("
        f"optuna.storages.RDBStorage('sqlite:///{tmp_path / 's.db'}'), host='127.0.0.1', port={port})"
    )
    server = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 120
        while time.monotonic() < until:
            with socket.socket() as held:
                if held.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        finished(start(*begin(f"grpc://127.0.0.1:{port}", data, 3)))
    finally:
        server.kill()
        server.wait()
    assert len(study_of(f"sqlite:///{tmp_path / 's.db'}").trials) == 3
