import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowbit.numerics import QType, pack_bits, packed_size, unpack_bits
from tests.numerics.test_qtype import ALL


@given(qtype=st.sampled_from(ALL), count=st.integers(0, 70), seed=st.integers(0, 2**32 - 1))
def test_unpack_inverts_pack(qtype: QType, count: int, seed: int) -> None:
    fields = np.random.default_rng(seed).integers(0, 2**qtype.bits, count)
    values = qtype.values(fields)
    data = pack_bits(values, qtype)
    assert data.dtype == np.uint8
    assert data.size == packed_size(count, qtype.bits)
    back = unpack_bits(data, count, qtype)
    assert back.dtype == qtype.dtype
    np.testing.assert_array_equal(back, values)


@given(bits=st.sampled_from([1, 2, 3, 4, 5, 6, 7, 8, 16]), fields=st.lists(st.integers(0, 2**16 - 1), max_size=40))
def test_fields_lie_least_significant_bit_first(bits: int, fields: list[int]) -> None:
    fields = [f % 2**bits for f in fields]
    stream = sum(f << (k * bits) for k, f in enumerate(fields))
    expected = stream.to_bytes(packed_size(len(fields), bits), "little")
    assert pack_bits(np.array(fields, np.uint16), QType(bits, False)).tobytes() == expected


def test_shape_is_flattened_in_c_order() -> None:
    values = np.arange(8).reshape(2, 2, 2)
    np.testing.assert_array_equal(unpack_bits(pack_bits(values, QType(3, False)), 8, QType(3, False)), np.arange(8))


def test_too_few_bytes() -> None:
    with pytest.raises(ValueError, match="1 bytes cannot hold 3 fields of 4 bits"):
        unpack_bits(np.zeros(1, np.uint8), 3, QType(4, True))
