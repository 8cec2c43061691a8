"""Images seen anew: in range, alike for equal generators, and as they were where nothing is to change."""

from __future__ import annotations

import torch

from lowbit.methods.views import Views


def pictures(count: int, side: int = 16) -> torch.Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(1))


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(2)


def test_whole_images_are_themselves_or_mirrored() -> None:
    x = pictures(6)
    plain = Views(1.0, 1.0, 0.0)([x], generator())[0]
    torch.testing.assert_close(plain, x, atol=1e-5, rtol=0)
    mirrored = Views(1.0, 1.0, 1.0)([x], generator())[0]
    torch.testing.assert_close(mirrored, x.flip(-1), atol=1e-5, rtol=0)


def test_views_differ_stay_in_range_and_can_be_repeated() -> None:
    x = pictures(8)
    first, second = (Views()([x], generator())[0] for _ in range(2))
    assert torch.equal(first, second)
    assert first.shape == x.shape
    assert float(first.min()) >= float(x.min())
    assert float(first.max()) <= float(x.max())
    assert float((first - x).abs().mean()) > 0.05


def test_a_part_is_a_part_of_the_image() -> None:
    """On a ramp from left to right, a view is a shorter ramp inside it."""
    ramp = torch.linspace(0, 1, 32).expand(1, 1, 32, 32).repeat(50, 1, 1, 1)
    seen = Views(0.25, 1.0, 0.0)([ramp], generator())[0]
    spans = seen[:, 0, 5, -1] - seen[:, 0, 5, 0]
    assert float(spans.min()) > 0.45
    assert float(spans.max()) < 1.01
    assert float(spans.max() - spans.min()) > 0.2


def test_what_is_no_image_stays() -> None:
    small, vectors = torch.rand(4, 3, 4, 4), torch.rand(4, 20)
    assert Views()([small, vectors], generator())[0] is small
    mixed = Views()([pictures(4), vectors], generator())
    assert mixed[1] is vectors
