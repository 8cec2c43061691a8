"""Every public entry point, called with things of wrong types: a LowbitError, or it is accepted; nothing of Python's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lowbit
from lowbit.errors import ArtifactError, ConfigError, LowbitError, UnknownTarget
from lowbit.runtime.compiled import Compiled
from tests import tiny

WRONG = (3.5, "a\0b", b"x", [], {}, object(), "\udce9", -1, float("nan"))


@pytest.fixture(scope="module")
def network() -> Iterator[Compiled]:
    network = lowbit.compile(*tiny.network(), threads=1)
    yield network
    network.close()


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def refused(call: Callable[[Any], object], *accepted: object) -> None:
    for value in WRONG:
        if not any(value is each or value == each for each in accepted):
            with pytest.raises(LowbitError):
                call(value)


@pytest.mark.parametrize(
    "option", ["target", "threads", "name", "dump_dir", "tune", "tuning", "config", "weights", "activations", "layers"]
)
def test_options_of_compile(option: str) -> None:
    model, example = tiny.network()
    # seconds; no plan; the name of a folder; what only the tuning that follows refuses
    accepted = {"tune": (3.5, -1, WRONG[-1]), "layers": (WRONG[4],), "dump_dir": ("\udce9",)}.get(option, ())
    refused(lambda value: lowbit.compile(model, example, **{option: value}), *accepted)


@pytest.mark.parametrize("option", ["seconds", "trials", "pattern", "target", "threads"])
def test_options_of_tune(option: str) -> None:
    model, example = tiny.network()
    refused(lambda value: lowbit.tune(model, example, **{"seconds": 0.1, option: value}), *([3.5] if option == "seconds" else []))


def test_methods_of_a_network(network: Compiled, tmp_path: Path) -> None:
    x = np.zeros((1, 3, 8, 8), np.float32)
    refused(network)
    refused(network.section)
    refused(network.text)
    refused(lambda value: setattr(network, "threads", value))
    refused(lambda value: network.profile(x, runs=value, peaks=False))
    refused(lambda value: network.save(value), "\udce9")
    refused(lambda value: network.export_library(value), "\udce9")


def test_load(network: Compiled, tmp_path: Path) -> None:
    path = network.save(tmp_path / "net.lowbit")
    refused(lowbit.load)
    refused(lambda value: lowbit.load(path, threads=value))
    refused(lambda value: lowbit.load(path, expect=value))
    with pytest.raises(ConfigError, match=r"path is the path of a file, not 'a\\x00b'"):
        lowbit.load("a\0b")
    with pytest.raises(ArtifactError, match="No such file"):
        lowbit.load("absent \udce9")


def test_what_is_said() -> None:
    model, example = tiny.network()
    with pytest.raises(UnknownTarget, match=r"target is a name of lowbit\.targets\.TARGETS or a Target, not None"):
        lowbit.compile(model, example, target=None)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"the name '\\udce9' is not Unicode text"):
        lowbit.compile(model, example, name="\udce9")
    with pytest.raises(ConfigError, match="cannot make the folder"):
        lowbit.compile(model, example, dump_dir=__file__)


def test_a_closed_network() -> None:
    network = lowbit.compile(*tiny.network(), threads=1)
    assert repr(network).endswith("1 threads>")
    network.close()
    network.close()
    assert repr(network) == f"<lowbit network Tiny for {network.manifest['target']['name']}, input 1x3x8x8, closed>"
    for use in (lambda: network(np.zeros((1, 3, 8, 8), np.float32)), lambda: network.threads):
        with pytest.raises(LowbitError, match="is closed"):
            use()
