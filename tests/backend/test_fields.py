from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowbit.backend import fields
from lowbit.backend.fields import pack_fields, unpack_fields
from lowbit.errors import NumericsError
from lowbit.numerics import QType
from lowbit.numerics.packing import pack_bits, packed_size
from lowbit.numerics.qtype import WIDTHS

QTYPES = ["b1", *(f"u{b}" for b in WIDTHS), *(f"i{b}" for b in WIDTHS if b > 1)]


@st.composite
def fields_of(draw: st.DrawFn) -> tuple[np.ndarray, QType, int]:
    qtype = QType.parse(draw(st.sampled_from(QTYPES)))
    bits = draw(st.sampled_from([b for b in WIDTHS if b >= qtype.bits]))
    values = draw(st.lists(st.sampled_from([-1, 1]) if qtype.bipolar else st.integers(qtype.qmin, qtype.qmax), max_size=40))
    return np.array(values, qtype.dtype), qtype, bits


@given(fields_of())
def test_round_trip_in_any_wider_field(case: tuple[np.ndarray, QType, int]) -> None:
    values, qtype, bits = case
    packed = pack_fields(values, qtype, bits)
    assert packed.dtype == np.uint8
    assert packed.size == packed_size(values.size, bits)
    np.testing.assert_array_equal(unpack_fields(packed, values.size, qtype, bits), values)


@given(fields_of())
def test_own_width_is_the_packing_of_numerics(case: tuple[np.ndarray, QType, int]) -> None:
    values, qtype, _ = case
    np.testing.assert_array_equal(pack_fields(values, qtype, qtype.bits), pack_bits(values, qtype))


@pytest.mark.parametrize("bits", [3, 4, 8])
def test_more_values_than_a_chunk(bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fields, "_CHUNK", 64)
    qtype = QType.parse("i3")
    values = np.random.default_rng(0).integers(-4, 4, 1001).astype(np.int8)
    packed = pack_fields(values, qtype, bits)
    np.testing.assert_array_equal(unpack_fields(packed, 1001, qtype, bits), values)


@pytest.mark.parametrize(("text", "value"), [("i4", 8), ("i4", -9), ("u2", -1), ("b1", 0), ("b1", 2)])
def test_values_outside_the_type(text: str, value: int) -> None:
    with pytest.raises(NumericsError, match=f"do not fit {text}"):
        pack_fields(np.array([1, value], np.int16), QType.parse(text), 8)
