"""Transposition in registers, evaluated lane by lane."""

from __future__ import annotations

import pytest

from lowbit.kernels.data_movement import transpose


@pytest.fixture
def lanes(monkeypatch):
    """Shuffles that act on lists instead of building expressions."""
    monkeypatch.setattr(
        transpose, "_shuffle", lambda vectors, order: [[v for vector in vectors for v in vector][lane] for lane in order]
    )


@pytest.mark.parametrize("n", [2, 4, 8, 16])
def test_transposed(lanes, n):
    square = [[n * i + j for j in range(n)] for i in range(n)]
    assert transpose.transposed(square) == [list(column) for column in zip(*square, strict=True)]


@pytest.mark.parametrize("streams", [1, 2, 3, 4])
def test_interleaved(lanes, streams):
    vectors = [[(stream, lane) for lane in range(5)] for stream in range(streams)]
    assert transpose.interleaved(vectors, 5) == [(stream, lane) for lane in range(5) for stream in range(streams)]
