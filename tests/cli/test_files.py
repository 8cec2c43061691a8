"""Files are checked before any work."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lowbit.cli.files import read_array, write_array, write_json
from lowbit.errors import ConfigError, InputError, LowbitError
from lowbit.files import check_folder, check_writable


def test_writable(tmp_path: Path) -> None:
    check_writable(tmp_path / "new")
    (tmp_path / "old").write_text("kept")
    check_writable(tmp_path / "old")
    assert (tmp_path / "old").read_text() == "kept"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["old"]


@pytest.mark.parametrize("path", ["missing/net.lowbit", "file/net.lowbit"])
def test_a_folder_that_cannot_hold_the_file(path: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot write"):
        check_writable(tmp_path / path)


def test_what_is_no_regular_file(tmp_path: Path) -> None:
    for path in (tmp_path, Path("/dev/null")):
        with pytest.raises(ConfigError, match="is not a regular file"):
            check_writable(path)


def test_folder(tmp_path: Path) -> None:
    check_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot make the folder"):
        check_folder(tmp_path / "file" / "a")


def test_arrays_come_back(tmp_path: Path) -> None:
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    write_array(tmp_path / "a", values)
    np.testing.assert_array_equal(read_array(tmp_path / "a"), values)
    assert [p.name for p in tmp_path.iterdir()] == ["a"]  # no ending is added


def test_archives(tmp_path: Path) -> None:
    np.savez(tmp_path / "one.npz", anything=np.ones(2))
    assert read_array(tmp_path / "one.npz").sum() == 2
    np.savez(tmp_path / "many.npz", images=np.ones(3), labels=np.zeros(3))
    assert read_array(tmp_path / "many.npz").sum() == 3
    assert read_array(tmp_path / "many.npz", "labels").sum() == 0
    np.savez(tmp_path / "which.npz", a=np.ones(3), b=np.zeros(3))
    with pytest.raises(InputError, match="holds the arrays a, b; expected one named images"):
        read_array(tmp_path / "which.npz")


def test_not_an_array(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        read_array(tmp_path / "missing.npy")
    (tmp_path / "text.npy").write_text("hello")
    with pytest.raises(InputError, match="not a .npy or .npz file"):
        read_array(tmp_path / "text.npy")
    (tmp_path / "empty.npy").write_bytes(b"")
    with pytest.raises(InputError, match="not a .npy or .npz file"):
        read_array(tmp_path / "empty.npy")


def test_pickles_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(InputError, match="not a .npy or .npz file of numbers"):
        read_array(tmp_path / "objects.npy")
    np.savez(tmp_path / "objects.npz", images=np.array([{"a": 1}], object))
    with pytest.raises(InputError, match="array images"):
        read_array(tmp_path / "objects.npz")


def test_broken_files_of_arrays(tmp_path: Path) -> None:
    """Headers and archives that numpy and zipfile meet with errors of their own.  (d10)"""
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999,), }".ljust(117) + b"\n"
    np.savez(tmp_path / "whole.npz", x=np.arange(1000))
    whole = (tmp_path / "whole.npz").read_bytes()
    start = b"\x93NUMPY\x01\x00v\x00"
    for data in (b"PK\3\4garbage", start + header, start + b"(" * 118, b"", whole[:500], whole[200:]):
        (tmp_path / "broken").write_bytes(data)
        with pytest.raises(InputError, match="is not a .npy or .npz file of numbers: .|array x: ."):
            read_array(tmp_path / "broken")
    for at in range(0, len(whole), 97):
        (tmp_path / "broken").write_bytes(whole[:at] + bytes([whole[at] ^ 0x41]) + whole[at + 1 :])
        try:
            read_array(tmp_path / "broken")
        except InputError:
            continue


def test_outputs_are_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_array(tmp_path / "y.npy", np.ones(3))
    write_json(tmp_path / "y.json", {"a": 1})
    assert (tmp_path / "y.json").read_text() == '{\n "a": 1\n}\n'

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    for write in (lambda: write_array(tmp_path / "y.npy", np.zeros(9)), lambda: write_json(tmp_path / "y.json", {"b": 2})):
        with pytest.raises(LowbitError, match="cannot write .*No space left"):
            write()
    assert read_array(tmp_path / "y.npy").tolist() == [1, 1, 1]
    assert (tmp_path / "y.json").read_text() == '{\n "a": 1\n}\n'
    assert len(list(tmp_path.iterdir())) == 2
