from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest

from lowbit.targets import TARGETS
from lowbit.tuning.database import Database, Origin, databases, user_database
from lowbit.tuning.trial import Trial, best_trial
from tests.errors.processes import finish, start
from tests.tuning.problems import trial

TARGET = TARGETS["x86-64-v3"]


def database(folder: Path) -> Database:
    return Database(folder / "db.jsonl", Origin("cpu", TARGET.name, "abc"))


def test_what_is_written_is_read(folder: Path) -> None:
    db = database(folder)
    assert db.trials() == []
    db.append([trial(mr=1), trial(mr=2)])
    db.append([trial("other", rung=2)])
    assert db.trials() == [trial(mr=1), trial(mr=2), trial("other", rung=2)]
    first = json.loads(db.path.read_text().splitlines()[0])
    assert first == {"lowbit_tuning": 1, "cpu": "cpu", "target": TARGET.name, "generator": "abc"}


@pytest.mark.parametrize("cut", [1, 30, 120])
def test_a_torn_last_line_is_ignored_and_then_removed(folder: Path, cut: int) -> None:
    db = database(folder)
    db.append([trial(mr=1), trial(mr=2)])
    db.path.write_bytes(db.path.read_bytes()[:-cut])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert db.trials() == [trial(mr=1)]
        db.append([trial(mr=3)])
        assert db.trials() == [trial(mr=1), trial(mr=3)]


def test_a_torn_first_line_is_written_again(folder: Path) -> None:
    db = database(folder)
    folder.mkdir()
    db.path.write_bytes(b'{"lowbit_tun')
    db.append([trial()])
    assert db.trials() == [trial()]
    assert "lowbit_tuning" in db.path.read_text().splitlines()[0]


@pytest.mark.parametrize(
    "line", [b"nonsense", b"\xff\xfe\x00", b"3", b"[]", b"null", b'{"key": "k"}', b"", b'{"decision": 1}'], ids=repr
)
def test_damaged_lines_are_a_warning_that_names_the_file(folder: Path, line: bytes) -> None:
    db = database(folder)
    db.append([trial(mr=1)])
    db.path.write_bytes(db.path.read_bytes() + line + b"\n")
    db.append([trial(mr=2)])
    with pytest.warns(UserWarning, match=f"{db.path}: 1 of 4 lines cannot be read.*lowbit tune --clear"):
        assert db.trials() == [trial(mr=1), trial(mr=2)]


def test_a_file_that_is_a_folder_is_a_warning(folder: Path) -> None:
    db = database(folder)
    db.path.mkdir(parents=True)
    with pytest.warns(UserWarning, match=f"{db.path}: cannot be read"):
        assert db.trials() == []


@pytest.mark.parametrize(
    "change", [{"key": 1}, {"threads": "2"}, {"rung": 0.5}, {"ns": 0}, {"ratio": -1.0}, {"ns": "fast"}, {"decision": {}}], ids=str
)
def test_what_is_no_trial(change: dict[str, object]) -> None:
    assert Trial.from_json(trial().to_json()) == trial()
    with pytest.raises(ValueError, match="not a"):
        Trial.from_json({**trial().to_json(), **change})


def test_processes_may_write_at_the_same_time(folder: Path) -> None:
    code = """
import sys
from pathlib import Path
from lowbit.tuning.database import Database, Origin
from tests.tuning.problems import trial
db = Database(Path(sys.argv[1]), Origin("cpu", "t", "g"))
for mr in range(1, 201):
    db.append([trial(sys.argv[2], mr=mr), trial(sys.argv[2], mr=mr, rung=1)])
"""
    path = folder / "db.jsonl"
    running = [start("-c", code, path, name) for name in ("a", "b")]
    assert [finish(process)[0] for process in running] == [0, 0]
    found = Database(path, Origin("cpu", "t", "g")).trials()
    for name in ("a", "b"):
        own = [t for t in found if t.key.problem == name]
        assert [(t.decision.mr, t.rung) for t in own] == [(mr, rung) for mr in range(1, 201) for rung in (0, 1)]


def test_each_cpu_target_and_generator_has_its_own_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = user_database(TARGET)
    assert first.path.parent == folder
    assert user_database(TARGET) == first
    assert user_database(TARGETS["x86-64-v4"]).path != first.path
    monkeypatch.setattr("lowbit.tuning.database.cpu_model", lambda: "Another CPU @ 3/2 GHz")
    other = user_database(TARGET)
    assert other.path.name.startswith("another-cpu-3-2-ghz--x86-64-v3--")
    monkeypatch.setattr("lowbit.tuning.database.shared_version", lambda: "newer")
    assert user_database(TARGET).path != other.path
    first.append([trial()])
    other.append([trial()])
    (folder / "empty.jsonl").touch()
    assert {db.origin for db in databases()} == {first.origin, other.origin, Origin("?", "?", "?")}


def test_the_best_is_the_one_measured_most_thoroughly() -> None:
    assert best_trial([]) is None
    trials = [trial(mr=1, rung=0, ratio=0.3), trial(mr=2, rung=1, ratio=0.6), trial(mr=3, rung=1, ratio=0.5)]
    assert best_trial(trials) == trials[2]
