from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lowbit.backend.build import weights_file
from lowbit.backend.native import NativeNetwork
from lowbit.backend.protocol import FilePart
from lowbit.backend.weight_file import HEADER_BYTES, checksum, plan_weight_file
from lowbit.errors import ArtifactError, NumericsError
from lowbit.kernels.packing import Packing
from lowbit.lowering.program import Weights
from lowbit.numerics import QType
from lowbit.numerics.packing import unpack_bits
from tests.backend.toy import built, dump_weights, linear_network


@pytest.mark.parametrize(
    ("text", "container", "nbytes"), [("i3", 3, 225), ("i3", 4, 300), ("i4", 4, 300), ("b1", 1, 75), ("i8", 8, 599)]
)
def test_layers_take_exactly_their_bits(text: str, container: int, nbytes: int) -> None:
    qtype = QType.parse(text)
    values = np.where(np.arange(599) % 2, qtype.qmin, qtype.qmax).astype(np.int8)
    packing = Packing("panels", "i8", 599, 1, 1, 4, 16, 4)
    layers = tuple(Weights(f"layer{i}", values, text, container, packing, i * 4096) for i in range(2))
    plan = plan_weight_file(dump_weights(layers, 8192))
    assert [layer.nbytes for layer in plan.layers] == [nbytes, nbytes]
    assert plan.layers[1].source == plan.layers[0].source + nbytes, "nothing lies between layers"
    data = np.frombuffer(weights_file(dump_weights(layers, 8192)), np.uint8)
    assert len(data) == plan.nbytes
    if container == qtype.bits:
        np.testing.assert_array_equal(unpack_bits(data[plan.layers[1].source :], 599, qtype), values)
    assert not data[plan.layers[1].source + nbytes :].any()
    assert len(data) - plan.layers[1].source - nbytes >= 64


def test_weights_outside_their_type_name_the_layer() -> None:
    packing = Packing("panels", "i8", 2, 1, 2, 4, 16, 4)
    program = dump_weights((Weights("layer1.conv", np.array([[1, 8], [0, 0]]), "i4", 4, packing, 0),), 64)
    with pytest.raises(NumericsError, match=r"layer1\.conv: weights from 0 to 8 do not fit i4"):
        weights_file(program)


def test_checksum_sees_every_single_change() -> None:
    data = np.random.default_rng(0).integers(0, 256, 800).astype(np.uint8)
    whole = checksum(data)
    for i in range(0, 800, 7):
        changed = data.copy()
        changed[i] ^= 1 << i % 8
        assert checksum(changed) != whole
    swapped = data.copy()
    swapped[:8], swapped[8:16] = data[8:16], data[:8]
    assert checksum(swapped) != whole


def test_checksum_of_more_words_than_a_chunk() -> None:
    """Against the definition in plain Python, past the chunk of 65536 words."""
    data = np.random.default_rng(1).integers(0, 256, 8 * 65600).astype(np.uint8)
    mask, total = (1 << 64) - 1, 0
    for i, word in enumerate(data.view("<u8").tolist()):
        v = (word + i * 0x9E3779B97F4A7C15) & mask
        total += (v ^ v >> 29) * 0xBF58476D1CE4E5B9
    assert checksum(data) == total & mask


@pytest.fixture(scope="module")
def toy() -> tuple[bytes, bytes]:
    return built(linear_network()[0])


def test_any_altered_byte_is_refused(toy: tuple[bytes, bytes]) -> None:
    library, file = toy
    for at in [*range(HEADER_BYTES), *range(HEADER_BYTES, len(file), 37), len(file) - 1]:
        altered = bytearray(file)
        altered[at] ^= 0x10
        with pytest.raises(ArtifactError, match="weight file"):
            NativeNetwork(library, bytes(altered), 1)


@pytest.mark.parametrize("size", [0, 1, 63, 64, -8, -1])
def test_truncated_files_are_refused(toy: tuple[bytes, bytes], size: int) -> None:
    library, file = toy
    with pytest.raises(ArtifactError, match="bytes"):
        NativeNetwork(library, file[:size], 1)


def test_appended_bytes_are_refused(toy: tuple[bytes, bytes]) -> None:
    library, file = toy
    with pytest.raises(ArtifactError, match=f"has {len(file) + 8} bytes but should have {len(file)}"):
        NativeNetwork(library, file + bytes(8), 1)


def test_weights_of_another_network_are_refused(toy: tuple[bytes, bytes]) -> None:
    with pytest.raises(ArtifactError, match="belongs to another network"):
        NativeNetwork(toy[0], weights_file(linear_network(n=41)[0]), 1)


def test_new_weights_for_the_same_library(toy: tuple[bytes, bytes]) -> None:
    """Weights may change without linking again; a layout that changes makes another network."""
    program, _ = linear_network(seed=7)
    network = NativeNetwork(toy[0], weights_file(program), 1)
    x = np.ones((1, 30), np.float32)
    other = NativeNetwork(*toy, 1)
    assert not np.array_equal(network.run([x])[0], other.run([x])[0])
    layers = tuple(replace(w, container=16) for w in program.weights)
    with pytest.raises(ArtifactError, match="another network"):
        NativeNetwork(toy[0], weights_file(replace(program, weights=layers)), 1)


@pytest.mark.parametrize("offset", [0, 64, 4096, 4097, 70_000])
def test_a_weight_file_inside_another_file(toy: tuple[bytes, bytes], tmp_path: Path, offset: int) -> None:
    library, data = toy
    path = tmp_path / "both"
    path.write_bytes(b"\xa5" * offset + data + b"behind")
    x = np.arange(30, dtype=np.float32)[None]
    expected = NativeNetwork(library, data, 1).run([x])[0]
    with path.open("rb") as file:
        network = NativeNetwork(library, FilePart(file.fileno(), offset, len(data)), 2)
    np.testing.assert_array_equal(network.run([x])[0], expected)
    altered = bytearray(path.read_bytes())
    altered[offset + HEADER_BYTES + 5] ^= 4
    path.write_bytes(altered)
    with path.open("rb") as file, pytest.raises(ArtifactError, match="weight file is damaged"):
        NativeNetwork(library, FilePart(file.fileno(), offset, len(data)), 2)


def test_weights_larger_than_what_is_read_at_a_time(tmp_path: Path) -> None:
    """Pages are given back while others are read: 12 MB, odd sizes, with and without threads, against reading at once."""
    library, data = built(linear_network(n=3001, k=4001, layers=1)[0])
    path = tmp_path / "weights"
    path.write_bytes(b"123" + data)
    x = np.random.default_rng(0).integers(-99, 99, (1, 4001)).astype(np.float32)
    expected = NativeNetwork(library, data, 1).run([x])[0]
    with path.open("rb") as file:
        for threads in (1, 2, 5):
            np.testing.assert_array_equal(
                NativeNetwork(library, FilePart(file.fileno(), 3, len(data)), threads).run([x])[0], expected
            )


@pytest.mark.parametrize(("offset", "size"), [(0, 0), (0, 10**6), (10**6, 64), (100, 2**64 - 64), (2**63, 2**63), (2**64 - 1, 1)])
def test_parts_outside_the_file_are_refused(toy: tuple[bytes, bytes], tmp_path: Path, offset: int, size: int) -> None:
    path = tmp_path / "weights"
    path.write_bytes(toy[1])
    with (
        path.open("rb") as file,
        pytest.raises(ArtifactError, match=rf"takes bytes {offset} to \d+ of a file of {len(toy[1])} bytes"),
    ):
        NativeNetwork(toy[0], FilePart(file.fileno(), offset, size), 1)


def test_weights_from_a_file_that_is_not_open(toy: tuple[bytes, bytes]) -> None:
    with pytest.raises(ArtifactError, match="cannot read the weight file: Bad file descriptor"):
        NativeNetwork(toy[0], FilePart(987654, 0, 64), 1)
