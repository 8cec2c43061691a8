"""The roofline picture."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lowbit.errors import ConfigError, ToolMissing
from lowbit.reporting import plots
from lowbit.reporting.roofline import check_roofline, roofline
from tests.reporting.profiles import conv, operation, profile

SHOWN = profile(
    operation("x", "input", 1_000),
    conv("stem", "u8_vnni", "u8 i8"),
    conv("body", "lut_permute", "u2 i2", 90_000),
    conv("last", "i16_vnni", "u8 i8", kind="winograd", saved=4.0),
    name="tiny",
)


def test_the_picture_has_roofs_and_layers(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    import matplotlib

    with matplotlib.rc_context({"svg.fonttype": "none"}):  # text as text
        roofline(SHOWN, tmp_path / "a.svg")
    drawn = (tmp_path / "a.svg").read_text()
    roofs = ("L2, 100 GB/s", "DRAM, 20 GB/s", "u8_vnni x, 240 GMAC/s", "f32 x, 60 GMAC/s")
    for text in (*roofs, "stem", "body", "u8_vnni (1)", "winograd i16_vnni (1)", "tiny"):
        assert text in drawn, text
    roofline(SHOWN, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_what_cannot_be_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    with pytest.raises(ConfigError, match=r"its name must end in \.png or \.svg"):
        check_roofline(tmp_path / "a.jpg")
    with pytest.raises(ConfigError, match="net multiplies nothing"):
        roofline(profile(operation("p", "pool", 10)), tmp_path / "a.png")
    with pytest.raises(ConfigError, match="needs the machine's peaks, and there are none: no compiler"):
        roofline(replace(SHOWN, no_peaks="no compiler"), tmp_path / "a.png")
    monkeypatch.setattr(plots, "find_spec", lambda name: None)
    with pytest.raises(ToolMissing, match=r"lowbit\[report\]"):
        check_roofline(tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []
