"""The tables of docs/raspberry-pi.md come from reports."""

from __future__ import annotations

import pytest

from tests.test_documents import ROOT, _script

ROW = {"config": "8/int8", "bytes": 1234, "macs": 1000, "instructions": 250, "estimated_ms": 36.6, "exact": True, "where": "qemu"}
REPORT = {"network": "net", "target": "raspberry-pi-4", "rows": [{**ROW, "emulated": {"median_ms": 4321.0}}]}


def test_tables_are_put_between_the_markers() -> None:
    updated = _script("raspberry_pi").updated
    once = updated("before\n<!-- pi:begin -->\nold\n<!-- pi:end -->\nafter\n", [REPORT])
    assert "| 8/int8 | 1,234 | 250 | 0.250 | 37 | 4,321 | yes |" in once
    assert "old" not in once
    assert once.startswith("before\n")
    assert once.endswith("<!-- pi:end -->\nafter\n")
    assert updated(once, [REPORT]) == once
    with pytest.raises(ValueError, match="needs <!-- pi:begin -->"):
        updated("no markers", [REPORT])
    assert "| 8/int8 |" in updated((ROOT / "docs" / "raspberry-pi.md").read_text(), [REPORT])
