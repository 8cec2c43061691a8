from __future__ import annotations

import gc
import hashlib
import json
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from lowbit.errors import ArtifactError
from lowbit.runtime.artifact import FORMAT, data_digest, pack_artifact, read_artifact, write_artifact

SECTIONS = {"weights.bin": bytes(range(256)) * 3 + b"odd", "text.txt": b"abc" * 500, "empty": b"", "noise": os.urandom(100)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_artifact(tmp_path / "net.lowbit", {"name": "net", "n": 1}, SECTIONS)


def forge(path: Path, index: object, body: bytes = b"", version: int = FORMAT, index_bytes: int | None = None) -> Path:
    """A file with a right checksum and the index given."""
    text = json.dumps(index).encode() if not isinstance(index, bytes) else index
    content = text + body
    head = struct.pack(
        "<8sIIQQ", b"\x89LOWBIT\n", version, 0, 64 + len(content), len(text) if index_bytes is None else index_bytes
    )
    path.write_bytes(head + digest(head + text) + content)
    return path


def digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=32).digest()


def test_gives_back_what_was_written(path: Path) -> None:
    artifact = read_artifact(path)
    assert artifact.manifest == {"name": "net", "n": 1}
    assert {name: bytes(artifact[name]) for name in SECTIONS} == SECTIONS
    assert set(artifact) == {"manifest.json", *SECTIONS}
    assert len(artifact) == 5
    with pytest.raises(KeyError):
        artifact["other"]
    for section in artifact.sections:
        assert section.offset % 64 == 0
        assert digest(path.read_bytes()[section.offset : section.offset + section.stored]).hex() == section.digest
    by_name = {section.name: section for section in artifact.sections}
    assert by_name["weights.bin"].encoding == "raw"
    assert by_name["text.txt"].encoding == "zlib"
    assert by_name["text.txt"].stored < 100
    assert by_name["noise"].encoding == "raw", "what does not shrink stays as it is"


def test_same_content_same_bytes(tmp_path: Path, path: Path) -> None:
    again = write_artifact(tmp_path / "again.lowbit", {"name": "net", "n": 1}, SECTIONS)
    assert again.read_bytes() == path.read_bytes()


def test_any_altered_byte_is_found(path: Path) -> None:
    data = path.read_bytes()
    for at in [*range(64), *range(64, len(data), 5), len(data) - 1]:
        for bit in (0, 3, 7) if at < 64 else (at % 8,):
            altered = bytearray(data)
            altered[at] ^= 1 << bit
            path.write_bytes(altered)
            with pytest.raises(ArtifactError, match=r"net\.lowbit"):
                read_artifact(path)["weights.bin"]


def test_truncation_anywhere_is_found(path: Path) -> None:
    data = path.read_bytes()
    for size in {*range(130), *range(0, len(data), 61), *range(len(data) - 70, len(data))}:
        path.write_bytes(data[:size])
        with pytest.raises(ArtifactError, match="truncated" if size >= 64 else "fewer than its header"):
            read_artifact(path)


def test_files_that_change_after_they_were_opened(path: Path) -> None:
    artifact = read_artifact(path)
    at = artifact.place("noise").offset
    with path.open("r+b") as file:
        file.seek(at)
        file.write(b"something else")
    with pytest.raises(ArtifactError, match="checksum .* of section noise does not match"):
        artifact["noise"]
    os.truncate(path, at)
    with pytest.raises(ArtifactError, match="truncated"):
        artifact["noise"]


def test_opening_keeps_one_descriptor_until_the_end(path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    artifact = read_artifact(path)
    assert not os.get_inheritable(artifact.file)
    os.unlink(path)
    assert artifact["text.txt"] == SECTIONS["text.txt"], "the file lives on without its name"
    del artifact
    path.write_bytes(b"no artifact" * 9)
    with pytest.raises(ArtifactError):
        read_artifact(path)
    gc.collect()
    assert os.listdir("/proc/self/fd") == before


def test_weights_are_checked_by_who_reads_them(path: Path) -> None:
    """Opening leaves them to the library, which has a sum of its own."""
    at = read_artifact(path).place("weights.bin").offset
    data = bytearray(path.read_bytes())
    data[at + 100] ^= 1
    path.write_bytes(data)
    artifact = read_artifact(path)
    assert artifact["text.txt"] == SECTIONS["text.txt"]
    with pytest.raises(ArtifactError, match=r"checksum .* of section weights\.bin does not match"):
        artifact["weights.bin"]


def test_nothing_may_hide_between_sections(tmp_path: Path) -> None:
    text = json.dumps({"sections": [section(b"{}", 2)]}).encode()
    gap = bytearray(4096 - 64 - len(text))
    assert read_artifact(forge(tmp_path / "file", text, bytes(gap) + b"{}")).manifest == {}
    with pytest.raises(ArtifactError, match="its sections end at byte 4098 of 4099"):
        read_artifact(forge(tmp_path / "file", text, bytes(gap) + b"{}\0"))
    gap[1000] = 1
    with pytest.raises(ArtifactError, match=r"something between its sections, before manifest\.json"):
        read_artifact(forge(tmp_path / "file", text, bytes(gap) + b"{}"))


def test_appended_bytes_are_found(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(ArtifactError, match="bytes follow its end"):
        read_artifact(path)


def test_damage_in_the_middle_is_called_a_checksum(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ArtifactError, match="BLAKE2b"):
        read_artifact(path)


def test_random_bytes_are_no_artifact(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for size in (0, 1, 63, 64, 65, 1000):
        path = tmp_path / "random"
        path.write_bytes(rng.integers(0, 256, size).astype(np.uint8).tobytes())
        with pytest.raises(ArtifactError, match="is not a lowbit artifact"):
            read_artifact(path)


def test_a_newer_format_says_so(tmp_path: Path) -> None:
    path = forge(tmp_path / "new", {"sections": []}, version=FORMAT + 1)
    with pytest.raises(ArtifactError, match=f"newer artifact format {FORMAT + 1}; this lowbit reads format {FORMAT}"):
        read_artifact(path)
    again = rf"older artifact format 1; this lowbit reads format {FORMAT}; compile .* again: lowbit compile NETWORK -o .*old"
    with pytest.raises(ArtifactError, match=again):
        read_artifact(forge(tmp_path / "old", {"sections": []}, version=1))
    with pytest.raises(ArtifactError, match="unknown artifact format 0"):
        read_artifact(forge(tmp_path / "old", {"sections": []}, version=0))


def section(content: bytes, size: int, **changes: object) -> dict[str, object]:
    return entry(stored=len(content), size=size, digest=digest(content).hex(), **changes)


def entry(**changes: object) -> dict[str, object]:
    return {"name": "manifest.json", "offset": 4096, "stored": 2, "size": 2, "encoding": "raw", "digest": "", **changes}


@pytest.mark.parametrize(
    "index",
    [
        b"not json",
        b"\xff\xfe",
        b"[" * 100_000,
        b"3",
        {},
        {"sections": 3},
        {"sections": [3]},
        {"sections": [{"name": "x"}]},
        {"sections": [entry(more=1)]},
        {"sections": [entry(offset=-64)]},
        {"sections": [entry(), entry(offset=4097)]},
        {"sections": [entry(offset=0)]},
        {"sections": [entry(stored=10**9)]},
        {"sections": [entry(offset=10**30)]},
        {"sections": [entry(offset=4096.5)]},
        {"sections": [entry(size="2")]},
        {"sections": [entry(encoding="pickle")]},
    ],
    ids=str,
)
def test_a_malformed_index(tmp_path: Path, index: object) -> None:
    """Even a file whose checksum is right cannot point outside itself."""
    with pytest.raises(ArtifactError, match="index is malformed"):
        read_artifact(forge(tmp_path / "file", index, bytes(8000)))


def test_an_index_longer_than_the_file(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="longer than the file"):
        read_artifact(forge(tmp_path / "file", {"sections": []}, index_bytes=10**6))


@pytest.mark.parametrize("manifest", [b"no", b"3", None])
def test_a_malformed_manifest(tmp_path: Path, manifest: bytes | None) -> None:
    sections = [] if manifest is None else [section(manifest, len(manifest))]
    text = json.dumps({"sections": sections}).encode()
    body = b"" if manifest is None else bytes(4096 - 64 - len(text)) + manifest
    with pytest.raises(ArtifactError, match="manifest is missing or malformed"):
        read_artifact(forge(tmp_path / "file", text, body))


@pytest.mark.parametrize(("packed", "size"), [(b"nonsense", 5), (zlib.compress(bytes(10**6)), 10), (zlib.compress(b"abc"), 4)])
def test_compressed_sections_must_decode_to_their_size(tmp_path: Path, packed: bytes, size: int) -> None:
    text = json.dumps({"sections": [section(packed, size, encoding="zlib")]}).encode()
    with pytest.raises(ArtifactError, match=r"section manifest\.json"):
        read_artifact(forge(tmp_path / "file", text, bytes(4096 - 64 - len(text)) + packed))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="No such file"):
        read_artifact(tmp_path / "absent")
    with pytest.raises(ArtifactError, match="Is a directory"):
        read_artifact(tmp_path)


def test_files_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ArtifactError, match="No such file"):
        write_artifact(tmp_path / "absent" / "net", {}, SECTIONS)
    with pytest.raises(ArtifactError, match="directory"):
        write_artifact(tmp_path, {}, SECTIONS)

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    target = write_artifact(tmp_path / "net.lowbit", {"kept": True}, {})
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ArtifactError, match="No space left on device"):
        write_artifact(target, {}, SECTIONS)
    assert read_artifact(target).manifest == {"kept": True}, "the old file stays"
    assert os.listdir(tmp_path) == ["net.lowbit"], "nothing is left behind"


def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        assert write_artifact(tmp_path / "net", {}, {}).stat().st_mode & 0o777 == 0o640
    finally:
        os.umask(old)


def test_sections_that_would_unpack_to_much_more(tmp_path: Path) -> None:
    """295 KB to 544 MB: refused before anything is decoded; what honest data needs, write_artifact stores as it is."""
    packed = zlib.compress(bytes(300 << 20), 9)
    text = json.dumps({"sections": [section(packed, 300 << 20, encoding="zlib")]}).encode()
    with pytest.raises(ArtifactError, match=rf"would decode from {len(packed)} bytes to {300 << 20}"):
        read_artifact(forge(tmp_path / "file", text, bytes(4096 - 64 - len(text)) + packed))
    path = write_artifact(tmp_path / "zeros", {}, {"zeros": bytes(5 << 20), "few": bytes(1 << 20)})
    artifact = read_artifact(path)
    assert (artifact.place("zeros").encoding, artifact.place("few").encoding) == ("raw", "zlib")
    assert artifact["zeros"] == bytes(5 << 20)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([entry(size=3)], "would decode from 2 bytes to 3"),
        ([entry(name=3)], "a name or digest is no text"),
        ([entry(digest=None)], "a name or digest is no text"),
        ([entry(), entry(offset=8192)], "two sections have one name"),
        ([entry(stored=True)], "lies outside the file"),
    ],
)
def test_what_an_index_may_not_say(tmp_path: Path, entries: list[object], message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        read_artifact(forge(tmp_path / "file", {"sections": entries}, bytes(20_000)))


def test_the_file_that_is_expected(path: Path) -> None:
    digest = hashlib.blake2b(path.read_bytes(), digest_size=32).hexdigest()
    artifact = read_artifact(path, digest)
    assert artifact.digest() == digest == data_digest(pack_artifact({"name": "net", "n": 1}, SECTIONS))
    with pytest.raises(ArtifactError, match=f"is not the file that was expected: its BLAKE2b-256 is {digest}, not 00"):
        read_artifact(path, "00" * 32)
    data = bytearray(path.read_bytes())
    data[artifact.place("weights.bin").offset] ^= 1  # which opening alone does not see
    path.write_bytes(data)
    with pytest.raises(ArtifactError, match="is not the file that was expected"):
        read_artifact(path, digest)
    path.write_bytes(b"anything")
    with pytest.raises(ArtifactError, match="is not the file that was expected"):
        read_artifact(path, digest)
