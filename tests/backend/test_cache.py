from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lowbit.backend import cache
from lowbit.backend.cache import compile_kernels, entry_path
from lowbit.files import cache_folder
from lowbit.kernels.conv2d.forms import FORMS
from lowbit.targets import TARGETS
from tests.backend.test_codegen import conv

TARGET = TARGETS["x86-64-v3"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LOWBIT_CACHE", str(tmp_path / "cache"))
    cache.generator_version.cache_clear()  # the sources as the processes started here read them
    return tmp_path / "cache"


def compiled(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Records what is really compiled."""
    from lowbit.backend import codegen

    made: list[object] = []
    original = codegen.generate
    monkeypatch.setattr(codegen, "generate", lambda spec, target: made.append(spec) or original(spec, target))
    return made


def test_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("LOWBIT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "lowbit"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "lowbit"


def test_equal_specs_compile_once_and_come_back_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    made, seen = compiled(monkeypatch), []
    specs = [conv(), conv(mr=3), conv()]
    first = compile_kernels(specs, TARGET, progress=lambda spec, cached: seen.append((spec, cached)))
    assert list(first) == [conv(), conv(mr=3)]
    assert sorted(made, key=str) == sorted([conv(), conv(mr=3)], key=str)
    second = compile_kernels(specs, TARGET, progress=lambda spec, cached: seen.append((spec, cached)))
    assert second == first
    assert len(made) == 2
    assert [cached for _, cached in seen] == [False, False, True, True]


@pytest.mark.parametrize(
    "damage",
    [lambda data: b"", lambda data: data[:100], lambda data: data[:-1] + bytes([data[-1] ^ 1]), lambda data: b"x" * len(data)],
)
def test_damaged_entries_are_built_again(damage: object, monkeypatch: pytest.MonkeyPatch) -> None:
    good = compile_kernels([conv()], TARGET)[conv()]
    path = entry_path(conv(), TARGET)
    path.write_bytes(damage(path.read_bytes()))
    made = compiled(monkeypatch)
    assert compile_kernels([conv()], TARGET)[conv()] == good
    assert len(made) == 1
    assert compile_kernels([conv()], TARGET)[conv()] == good
    assert len(made) == 1


def test_key_names_everything_the_object_depends_on(monkeypatch: pytest.MonkeyPatch) -> None:
    paths = {
        entry_path(conv(), TARGET),
        entry_path(conv(mr=3), TARGET),
        entry_path(conv(), replace(TARGET, features=TARGET.features | {"bmi2"})),
    }
    monkeypatch.setattr(cache, "generator_version", lambda: "another")
    paths.add(entry_path(conv(), TARGET))
    assert len(paths) == 4


def test_cached_kernels_need_no_tvm(folder: Path) -> None:
    compile_kernels([conv()], TARGET)
    code = (
        "import sys; from lowbit.backend.cache import compile_kernels; from lowbit.targets import TARGETS;"
        "from lowbit.kernels.layout import Layout; from lowbit.kernels.conv2d.spec import ConvSpec;"
        "s = Layout(1, 6, 6, 32, 32);"
        "spec = ConvSpec(op='conv2d', src=s, dst=s, kernel=(1, 1), stride=(1, 1), dilation=(1, 1), padding=(0, 0), act='u8',"
        "weight='i7', form='u8_maddubs', k_group=4, depth=1, mr=4, nr=16, m_tiles=3, n_blocks=1);"
        "assert compile_kernels([spec], TARGETS['x86-64-v3'])[spec]; assert 'tvm' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LOWBIT_CACHE", str(tmp_path / "file"))
    assert compile_kernels([conv()], TARGET)[conv()]


def test_what_chooses_what_forms_say_and_what_is_compared_is_not_in_the_key() -> None:
    sources = {path.relative_to(cache._PACKAGE).as_posix() for path in cache.generating_sources()}
    assert {"kernels/conv2d/tile.py", "kernels/conv2d/arithmetic/vnni.py", "backend/codegen.py"} <= sources
    assert not [source for source in sources if source.endswith(("cases.py", "reference.py"))]
    for chooser in ("selection/select.py", "selection/decide.py", "selection/winograd.py", "selection/tiles.py", "forms/vnni.py"):
        assert (cache._PACKAGE / "kernels" / "conv2d" / chooser).exists()
        assert f"kernels/conv2d/{chooser}" not in sources


def test_what_generates_asks_no_chooser() -> None:
    for path in cache.generating_sources():
        assert not re.search(r"^\s*(from|import) lowbit\.\S*selection", path.read_text(), re.M), path


def test_what_generation_asks_of_a_form_is_in_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before, form = entry_path(conv(), TARGET), FORMS[conv().form]
    for other in (replace(form, exact="for another reason", x86=None), replace(form, arithmetic="elsewhere:step")):
        monkeypatch.setitem(FORMS, form.name, other)
        assert (entry_path(conv(), TARGET) == before) == (other.arithmetic == form.arithmetic)


TWO = """
import hashlib
from lowbit.backend.cache import compile_kernels
from lowbit.files import cache_folder
from lowbit.targets import TARGETS
from tests.backend.test_codegen import conv
objects = compile_kernels([conv(), conv(mr=2)], TARGETS["x86-64-v3"])
print([hashlib.sha256(o).hexdigest() for o in objects.values()])
"""


def test_two_processes_at_once(folder: Path) -> None:
    running = [subprocess.Popen([sys.executable, "-c", TWO], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = {process.communicate()[0] for process in running}
    assert all(process.returncode == 0 for process in running)
    assert len(outputs) == 1
    assert not list(folder.rglob(".new-*"))
