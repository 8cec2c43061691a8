"""``lowbit search``, ``pareto``, ``compare-strategies`` and ``compile --from`` as they are typed."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import lowbit
from lowbit.cli import app
from lowbit.graph import interpret
from tests.searching.networks import images

NETWORK = "tests.searching.networks:example"
SEARCHED = ("--strategy", "random", "--objectives", "accuracy,latency,size", "--constraint", "accuracy >= w8a8 - 30%")
"""What the search of ``storage`` is about."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("search")
    x, labels = images()
    np.savez(folder / "data.npz", images=x, labels=labels)
    return folder


def call(*arguments: Any, code: int = 0) -> str:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == code, done.output + str(done.exception)
    return " ".join(done.output.split())


def searched(folder: Path, name: str, *more: Any, code: int = 0) -> str:
    return call(
        "search", NETWORK, "--data", folder / "data.npz", "--threads", 1, "--storage", folder / name, "--uniform", "none", *more,
        code=code,
    )  # fmt: skip


@pytest.fixture(scope="module")
def storage(folder: Path) -> Path:
    """A finished search."""
    text = searched(
        folder, "s.db", "--strategy", "random", "--trials", 6, "--objectives", "accuracy,latency,size",
        "--constraint", "accuracy >= w8a8 - 30%", "--csv", folder / "s.csv", "--json", folder / "s.json",
        "--html", folder / "s.html",
    )  # fmt: skip
    assert "plans" in text
    return folder / "s.db"


def test_a_search_writes_what_it_found(storage: Path, folder: Path) -> None:
    with open(folder / "s.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6
    found = json.loads((folder / "s.json").read_text())
    assert [trial["number"] for trial in found["trials"]] == list(range(6))
    assert "tiny" in (folder / "s.html").read_text() or "example" in (folder / "s.html").read_text()


def test_pareto_reads_the_storage(storage: Path, folder: Path) -> None:
    text = call("pareto", storage, "--html", folder / "p.html", "--picture", folder / "p.svg", "--plan", folder / "plan.png")
    assert "accuracy" in text
    assert all((folder / name).stat().st_size > 1000 for name in ("p.html", "p.svg", "plan.png"))


def test_a_trial_becomes_an_artifact(storage: Path, folder: Path) -> None:
    found = json.loads((folder / "s.json").read_text())
    trial = next(t for t in found["trials"] if t["front"])
    call("compile", "--from", storage, "--trial", trial["number"], "-o", folder / "best.lowbit")
    net = lowbit.load(folder / "best.lowbit")
    assert net.input_shapes == ((1, 3, 8, 8),)
    assert len(net.section("weights.bin")) == trial["metrics"]["size"]
    x, labels = images()
    right = [int(net(x[i : i + 1]).argmax() == labels[i]) for i in range(len(x))]
    assert np.array_equal(net(x[:1]), interpret(net.graph(), [x[:1]])[0])
    judged = json.loads(json.dumps(found["images"]))
    assert judged <= len(right)


def test_the_same_command_goes_on(storage: Path, folder: Path) -> None:
    again = (
        *SEARCHED,
        "--json",
        folder / "n.json",
    )
    searched(folder, "s.db", "--trials", 8, *again)
    assert len(json.loads((folder / "n.json").read_text())["trials"]) == 8


def test_a_toml_file(folder: Path) -> None:
    (folder / "search.toml").write_text(
        f"""
network = "{NETWORK}"
data = "{folder / "data.npz"}"
strategy = "greedy"
trials = 4
threads = 1
constraints = ["size <= w8a8"]
uniform = "none"
[objectives]
accuracy = 1.0
size = {{ scale = 0.001, direction = "minimize" }}
[space]
weights = "2..8"
activations = [4, 8]
[space.fixed]
linear = "i8/u8"
[[space.rule]]
match = "body"
weights = [2, 4]
"""
    )
    text = call("search", folder / "search.toml", "--json", folder / "t.json", "--seed", 3)
    found = json.loads((folder / "t.json").read_text())
    assert "greedy" in text
    assert [d["name"] for d in found["space"]["dimensions"]] == [
        "stem weights",
        "body weights",
        "stem activations",
        "body activations",
    ]
    assert found["objectives"][1]["scale"] == 0.001
    assert found["seed"] == 3


def test_fixed_point_pairs_of_mase(folder: Path) -> None:
    (folder / "mase.toml").write_text(
        f"""
network = "{NETWORK}"
data = "{folder / "data.npz"}"
strategy = "brute-force"
threads = 1
objectives = "accuracy,average_bitwidth,memory_density"
uniform = "none"
[space]
tied = [["*"]]
data_in = [[8, 4], [4, 2]]
weight_width = [8, 4]
weight_frac_width = [5]
bias = [[8, 5]]
"""
    )
    call("search", folder / "mase.toml", "--json", folder / "m.json")
    found = json.loads((folder / "m.json").read_text())
    assert found["space"]["size"] == 4
    assert len(found["trials"]) == 4
    assert sorted({trial["metrics"]["average_bitwidth"] for trial in found["trials"]}) == [4.0, 8.0]
    assert sorted({trial["metrics"]["memory_density"] for trial in found["trials"]}) == [4.0, 8.0]


def test_strategies_are_compared(folder: Path) -> None:
    (folder / "c.toml").write_text(
        f"""
network = "{NETWORK}"
data = "{folder / "data.npz"}"
threads = 1
objectives = "accuracy,size"
[space]
tied = [["*"]]
weights = "2..4"
activations = "4,8"
"""
    )
    text = call(
        "compare-strategies", folder / "c.toml", "--trials", "2,4", "--seeds", 2, "--strategies", "random,brute-force,ilp",
        "--json", folder / "c.json", "--html", folder / "c.html", "--picture", folder / "c.png",
    )  # fmt: skip
    found = json.loads((folder / "c.json").read_text())
    assert set(found["strategies"]) == {"random", "brute-force", "ilp"}
    assert len(found["strategies"]["brute-force"]["hypervolume"][0]) == 6
    assert found["optimum"]["hypervolume"] == pytest.approx(found["strategies"]["brute-force"]["hypervolume"][0][-1])
    assert "random" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--objectives", "acuracy"], "no metric 'acuracy'"),
        (["--strategy", "nsga"], "no strategy 'nsga'; known: tpe, nsga2"),
        (["--layers", "stemm"], "'stemm' matches no layer"),
        (["--weights", "9"], "write widths of 1, 2"),
        (["--constraint", "accuracy = 1"], "constraint 'accuracy = 1'"),
        (["--strategy", "brute-force"], "plans; at most 20,000"),
        (["--uniform", "some"], "write all, diagonal, none"),
        (["--method", "nearst"], "no method 'nearst'"),
        (["--target", "rpi9"], "unknown target"),
    ],
)
def test_what_is_misspelt_is_said(folder: Path, arguments: list[str], message: str) -> None:
    assert message in searched(folder, "wrong.db", *arguments, code=2)
    assert not (folder / "wrong.db").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pareto", "none.db"], "none.db does not exist"),
        (["compile", "--from", "none.db", "--trial", "1", "-o", "x.lowbit"], "none.db does not exist"),
        (["compile", "-o", "x.lowbit"], "write which network"),
        (["search", "worker"], "needs --storage"),
        (["search", "missing.toml"], "missing.toml: No such file"),
        (["search", "digits-cnn", "--storage", "postgresql://u:secret@127.0.0.1:1/none", "--trials", "1"], "cannot be opened"),
    ],
)
def test_what_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str) -> None:
    monkeypatch.chdir(tmp_path)
    text = call(*arguments, code=2)
    assert message in text
    assert "secret" not in text


def test_an_unknown_trial_lists_some(storage: Path, folder: Path) -> None:
    assert "no complete trial 99" in call("compile", "--from", storage, "--trial", 99, "-o", folder / "x.lowbit", code=2)


def test_another_space_is_refused_with_the_difference(storage: Path, folder: Path) -> None:
    more = (
        *SEARCHED,
        "--weights",
        "2..4",
    )
    text = searched(folder, "s.db", *more, code=2)
    assert "was begun with another search" in text
    assert "[2, 3, 4, 5, 6, 7, 8] there, [2, 3, 4] here" in text
