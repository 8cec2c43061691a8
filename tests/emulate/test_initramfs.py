from __future__ import annotations

from lowbit.emulate.initramfs import make_initramfs


def entries(archive: bytes) -> dict[str, tuple[int, bytes]]:
    """name -> (mode, data), read as the format's description says."""
    found, at = {}, 0
    while True:
        assert archive[at : at + 6] == b"070701"
        fields = [int(archive[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        size, length = fields[6], fields[11]
        name = archive[at + 110 : at + 110 + length - 1].decode()
        start = -(-(at + 110 + length) // 4) * 4
        if name == "TRAILER!!!":
            return found
        found[name] = fields[1], archive[start : start + size]
        at = -(-(start + size) // 4) * 4


def test_what_goes_in_comes_out() -> None:
    files = {"init": b"\x7fELF", "arguments": b"--runs\n3", "empty": b"", "a": b"12345"}
    found = entries(make_initramfs(files))
    assert {name: data for name, (mode, data) in found.items() if mode == 0o100755} == files
    assert found["dev"][0] == 0o040755
    assert found["dev/console"][0] == 0o020600
