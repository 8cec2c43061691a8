"""Plans are checked before any work."""

from __future__ import annotations

from pathlib import Path

import pytest

from lowbit.errors import ConfigError
from lowbit.evaluation.plan import EvalPlan


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"network": "resnet51"}, "no pretrained network 'resnet51'; known: cifar10_resnet8"),
        ({"network": "tests.tiny:network"}, "for any other say its images: --data"),
        ({"configs": ()}, "no configuration"),
        ({"configs": ("7/int9",)}, "unknown configuration"),
        ({"limit": 0}, "at least one image"),
        ({"calibration": 0}, "at least one image"),
        ({"batch": 0}, "at least one image"),
        ({"target": "vax"}, "unknown target"),
        ({"method": "magic"}, "no method 'magic'"),
        ({"method": "nearest, magic"}, "no method 'magic'"),
    ],
)
def test_plans_are_checked(options: dict[str, object], text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOWBIT_DATA", str(tmp_path))
    with pytest.raises(ConfigError, match=text):
        EvalPlan(**{"network": "cifar10_resnet20", "configs": ("8/int8",), **options})  # type: ignore[arg-type]


def test_without_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOWBIT_DATA", raising=False)
    with pytest.raises(ConfigError, match="set LOWBIT_DATA"):
        EvalPlan("cifar10_resnet20", ("8/int8",))
    assert EvalPlan("digits-cnn", ("8/int8",)).data is None
