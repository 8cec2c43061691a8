"""Parts that share nothing, batches, and samples that cannot be right."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowbit.data import Dataset, Part, Preprocessing, as_dataset, from_arrays, from_iterable
from lowbit.errors import ConfigError, DataError

LABELS = np.arange(23) * 7 % 10


def numbered(count: int = 23) -> Dataset:
    """Sample i is the number i."""
    return Dataset(from_arrays(np.arange(count, dtype=np.float32)[:, None], LABELS[:count]))


def streamed(count: int = 23) -> Dataset:
    """The same, of which only reading tells how many there are, in batches of 4."""
    values = np.arange(count, dtype=np.float32)[:, None]
    return Dataset(from_iterable(lambda: ((values[i : i + 4], LABELS[i : i + 4]) for i in range(0, count, 4)), "stream"))


def read(dataset: Dataset, size: int = 5) -> list[int]:
    batches = list(dataset.batches(size))
    assert all(len(batch) == size for batch in batches[:-1])
    values = np.concatenate([batch.inputs[0][:, 0] for batch in batches]).astype(int)
    assert np.array_equal(np.concatenate([batch.labels for batch in batches]), LABELS[values])
    assert np.array_equal(np.concatenate([batch.positions for batch in batches]), values)
    return values.tolist()


@pytest.mark.parametrize("make", [numbered, streamed])
@given(share=st.floats(0.02, 0.5), size=st.integers(1, 30))
def test_parts_share_nothing_and_miss_nothing(make: object, share: float, size: int) -> None:
    calibration, evaluation = make().split(share)  # type: ignore[operator]
    one, other = read(calibration, size), read(evaluation, size) if share < 0.6 else []
    assert set(one).isdisjoint(other)
    assert sorted(one + other) == list(range(23))


@pytest.mark.parametrize("make", [numbered, streamed])
def test_the_front(make: object) -> None:
    dataset = make()  # type: ignore[operator]
    assert read(dataset.take(7)) == list(range(7))
    assert read(dataset.take(7).take(9)) == list(range(7))
    assert read(dataset.take(None)) == list(range(23))
    calibration, evaluation = dataset.split(0.25)
    assert read(calibration.take(3)) == [0, 4, 8]
    assert read(evaluation.take(4)) == [1, 2, 3, 5]
    with pytest.raises(ConfigError, match="at least one sample"):
        dataset.take(0)


def test_counts_and_labels_without_reading() -> None:
    calibration, evaluation = numbered().split(0.2)
    assert (calibration.count, evaluation.count, evaluation.take(4).count) == (5, 18, 4)
    assert np.array_equal(calibration.labels, LABELS[::5])
    assert streamed().count is None
    assert streamed().labels is None
    assert numbered().where(3) == "row 3"
    assert streamed().where(3) == "sample 3"


@pytest.mark.parametrize("share", [0.0, 0.51, -1.0])
def test_shares(share: float) -> None:
    with pytest.raises(ConfigError, match="a number above 0 and up to 0.5"):
        numbered().split(share)


def test_a_part_is_not_split_again() -> None:
    with pytest.raises(ConfigError, match="a part of it already"):
        numbered().split()[1].split()


def test_a_period_of_one_is_everything() -> None:
    assert Part().of(4).tolist() == [0, 1, 2, 3]


def test_calibration_takes_it() -> None:
    inputs, labels = next(iter(numbered()))
    assert inputs.shape == (23, 1)
    assert labels.shape == (23,)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_samples_that_are_not_finite(value: float) -> None:
    values = np.zeros((9, 2), np.float32)
    values[6, 1] = value
    with pytest.raises(DataError, match=r"row 6 holds NaN or infinity \(arrays: 9 samples"):
        list(Dataset(from_arrays(values, np.arange(9) % 2)).batches(4))


def test_pixels_need_preprocessing() -> None:
    pixels = np.full((6, 4, 4, 3), 255, np.uint8)
    with pytest.raises(DataError, match="say how they become the network's inputs"):
        next(as_dataset((pixels, np.arange(6) % 3)).batches())
    batch = next(as_dataset((pixels, np.arange(6) % 3), Preprocessing()).batches())
    assert batch.inputs[0].shape == (6, 3, 4, 4)
    assert (batch.inputs[0] == 1).all()
    scaled = next(as_dataset((pixels, np.arange(6) % 3), Preprocessing(size=(2, 2))).batches())
    assert scaled.inputs[0].shape == (6, 3, 2, 2)
    own = next(as_dataset((pixels, np.arange(6) % 3), lambda p: p.transpose(0, 3, 1, 2) * np.float32(2)).batches())
    assert (own.inputs[0] == 510).all()
