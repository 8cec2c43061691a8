"""``lowbit tune`` on a network of microseconds."""

from __future__ import annotations

from pathlib import Path

import pytest

import lowbit
from tests.cli.test_commands import ok, refused, run


def test_tune_status_clear(folder: Path, tmp_path: Path) -> None:
    assert "nothing was tuned yet" in ok("tune", "--status")
    arguments = ["tests.tiny:network", "--weights", "i8", "--threads", 1, "--trials", 2]
    text = ok("tune", *arguments, "--layers", "b*")
    assert "body" in text
    assert "stem" not in text
    assert "untuned takes" in text
    assert len(list(folder.iterdir())) == 1
    status = ok("tune", "--status")
    assert "yes" in status
    assert str(folder) in status.replace("\n", "")
    ok("compile", "tests.tiny:network", "--weights", "i8", "-o", tmp_path / "net.lowbit")
    layers = lowbit.load(tmp_path / "net.lowbit").manifest["layers"]
    assert {e["name"]: e["tuned"] for e in layers if e["tuned"] is not None} == {"stem": False, "body": True, "head": False}
    assert "removed 1 tuning databases" in ok("tune", "--clear")
    assert list(folder.iterdir()) == []


def test_what_the_time_was_too_short_for() -> None:
    result = run("tune", "tests.tiny:network", "--weights", "i8", "--budget", 1e-9)
    assert result.exit_code == 0
    assert "3 layers were not reached" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "name a network to tune"),
        (["--status", "--clear"], "stand alone"),
        (["tests.tiny:network", "--clear"], "stand alone"),
        (["tests.tiny:network", "--budget", 0], "more than 0 seconds"),
        (["tests.tiny:network", "--trials", 0], "at least 1 trial"),
        (["tests.tiny:network", "--layers", "nose*"], "'nose*' matches no layer that can be tuned; there are: stem"),
        (["tests.tiny:network", "--threads", 0], "threads must be"),
        (["resnet51"], "did you mean"),
    ],
    ids=str,
)
def test_refusals(arguments: list[object], text: str) -> None:
    assert text in refused("tune", *arguments)


def test_an_interrupt_keeps_what_was_measured(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lowbit.tuning.measure import Measurer

    calls: list[int] = []
    real = Measurer.__call__

    def interrupted(self: Measurer, *arguments: object) -> object:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Measurer, "__call__", interrupted)
    result = run("tune", "tests.tiny:network", "--weights", "i8", "--trials", 2, "--threads", 1)
    assert result.exit_code == 130
    assert "what was measured is kept" in result.stderr
    (file,) = folder.iterdir()
    assert len(file.read_text().splitlines()) > 2
