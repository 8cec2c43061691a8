"""Work that was interrupted goes on, and gives what it would have given."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import lowbit
from lowbit.methods import AdaRound, Distillation
from lowbit.methods.judge import Judge
from lowbit.methods.store import Store
from tests.methods.test_methods import QUICK, same


def test_an_interrupted_method_goes_on(graph, calibration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def plan(state: Path):
        return lowbit.quantize(graph, calibration=calibration, config="w3a4", method=QUICK["adaround"], state=state)

    wanted = plan(tmp_path / "whole")
    whole, done = AdaRound.layer, []

    def interrupted(self, graph, choice, node, *rest):
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(node.name)
        return whole(self, graph, choice, node, *rest)

    monkeypatch.setattr(AdaRound, "layer", interrupted)
    with pytest.raises(KeyboardInterrupt):
        plan(tmp_path / "parts")
    assert done == ["stem", "body", "depthwise"]
    monkeypatch.setattr(AdaRound, "layer", lambda self, *rest: (done.append(rest[2].name), whole(self, *rest))[1])
    assert same(plan(tmp_path / "parts").choice, wanted.choice)
    assert done == ["stem", "body", "depthwise", "grouped", "head"]


def test_other_work_is_not_taken_for_it(graph, calibration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = []
    monkeypatch.setattr(Store, "keep", lambda self, unit, found: kept.append((self.folder, unit)))
    for config in ("w3a4", "w4a4"):
        lowbit.quantize(graph, calibration=calibration, config=config, method=QUICK["adaround"], state=tmp_path)
    assert len({folder for folder, _ in kept}) == 2


def test_a_damaged_file_is_work_that_is_not_done(graph, calibration, tmp_path: Path) -> None:
    wanted = lowbit.quantize(graph, calibration=calibration, config="w3a4", method=QUICK["adaround"], state=tmp_path)
    for index, path in enumerate(sorted(tmp_path.rglob("*.npz"))):
        path.write_bytes(path.read_bytes()[: index * 50])
    again = lowbit.quantize(graph, calibration=calibration, config="w3a4", method=QUICK["adaround"], state=tmp_path)
    assert same(again.choice, wanted.choice)


def test_distillation_goes_on_from_its_last_check(graph, calibration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    method = Distillation(iterations=12, batch=8, checks=3, rate=2e-3)

    def plan(state: Path):
        return lowbit.quantize(graph, calibration=calibration, config="w3a4", method=method, state=state)

    wanted, plain, judged = plan(tmp_path / "whole"), Judge.error, []

    def interrupted(self, integer):
        judged.append(0)
        if len(judged) == 3:  # before, and after four and eight iterations
            raise KeyboardInterrupt
        return plain(self, integer)

    monkeypatch.setattr(Judge, "error", interrupted)
    with pytest.raises(KeyboardInterrupt):
        plan(tmp_path / "parts")
    monkeypatch.setattr(Judge, "error", plain)
    resumed = plan(tmp_path / "parts")
    assert same(resumed.choice, wanted.choice)
    assert wanted.log[-1].after < wanted.log[-1].before


def test_a_folder_that_is_removed_meanwhile_is_made_again(
    graph, calibration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other work that begins removes the oldest folders, even one that is in use."""
    keep = Store.keep

    def removed(self, unit, found):
        shutil.rmtree(self.folder, ignore_errors=True)
        keep(self, unit, found)

    monkeypatch.setattr(Store, "keep", removed)
    lowbit.quantize(graph, calibration=calibration, config="w3a4", method=QUICK["adaround"], state=tmp_path)
    assert len(list(tmp_path.rglob("*.npz"))) == 1  # the last layer's
