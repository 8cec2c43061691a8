"""From pixels to inputs."""

from __future__ import annotations

import numpy as np
import pytest

from lowbit.data import Preprocessing
from lowbit.errors import ConfigError, DataError


def test_it_is_the_formula() -> None:
    pixels = np.array([[[[0, 128, 255]]]], np.uint8)
    out = Preprocessing(255.0, (0.5, 0.25, 0.0), (0.5, 1.0, 2.0))(pixels)
    assert out.shape == (1, 3, 1, 1)
    np.testing.assert_allclose(out.ravel(), [-1.0, 128 / 255 - 0.25, 0.5], rtol=1e-6)
    assert out.dtype == np.float32


def test_floats_get_the_same_formula_on_axis_1() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 4, 5, 3), np.uint8)
    preprocessing = Preprocessing(255.0, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    floats = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)).astype(np.float32)
    np.testing.assert_allclose(preprocessing.floats(floats), preprocessing(pixels), rtol=1e-6)


def test_one_number_serves_all_channels() -> None:
    pixels = np.full((1, 2, 2, 3), 51, np.uint8)
    np.testing.assert_allclose(Preprocessing(255.0, (0.1,), (0.5,))(pixels), 0.2, rtol=1e-5)
    assert Preprocessing().channels is None


@pytest.mark.parametrize(
    ("preprocessing", "shape"),
    [
        (Preprocessing(size=(4, 4)), (4, 4, 3)),
        (Preprocessing(size=(4, 6)), (4, 6, 3)),
        (Preprocessing(size=(4, 4), resize=8), (4, 4, 3)),
        (Preprocessing(resize=5), (5, 10, 3)),
        (Preprocessing(), (10, 20, 3)),
    ],
)
def test_sizes(preprocessing: Preprocessing, shape: tuple[int, ...]) -> None:
    assert preprocessing.fit(np.zeros((10, 20, 3), np.uint8)).shape == shape


def test_the_middle_is_kept() -> None:
    image = np.zeros((4, 8, 1), np.uint8)
    image[:, 2:6] = 9
    assert (Preprocessing(size=(4, 4)).fit(image) == 9).all()


def test_a_crop_larger_than_the_image() -> None:
    with pytest.raises(DataError, match="smaller than"):
        Preprocessing(size=(8, 8), resize=4).fit(np.zeros((10, 20, 3), np.uint8))


def test_the_channels_must_fit() -> None:
    three = Preprocessing(mean=(0.1, 0.2, 0.3))
    for call in (lambda: three(np.zeros((1, 2, 2, 1), np.uint8)), lambda: three.floats(np.zeros((1, 1, 2, 2), np.float32))):
        with pytest.raises(DataError, match="are for 3 channels, the images have 1"):
            call()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"divisor": 0}, "must be above 0"),
        ({"std": (0.0,)}, "must be above 0"),
        ({"mean": (1.0, 2.0), "std": (1.0, 1.0, 1.0)}, "one number for each channel"),
        ({"mean": ()}, "one number for each channel"),
        ({"size": (0, 3)}, "at least 1"),
    ],
)
def test_numbers_that_make_no_sense(options: dict[str, object], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        Preprocessing(**options)  # type: ignore[arg-type]
