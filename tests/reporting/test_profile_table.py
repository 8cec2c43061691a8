from __future__ import annotations

from io import StringIO

from rich.console import Console
from rich.table import Table

from lowbit.reporting.profile_table import peaks_table, profile_table
from lowbit.reporting.wording import count, listed, percent, size, time, verb, wrapped
from tests.reporting.profiles import conv, operation, profile


def shown(table: Table) -> str:
    out = StringIO()
    Console(file=out, width=200).print(table)
    return out.getvalue()


def test_a_row_an_operation() -> None:
    table = shown(profile_table(profile(operation("x", "input", 1_000), conv("body", "u8_maddubs", "u8 i4", depth=8), threads=2)))
    (row,) = (line.split() for line in table.splitlines() if line.strip().startswith("body"))
    assert row == ["body", "u8", "x", "i4", "conv2d", "u8_maddubs", "d8", "50.0", "6.80", "136", "80", "%", "20", "%", "5.0", "%",
                   "4.0", "0.1", "1", "compute"]  # fmt: skip
    (row,) = (line.split() for line in table.splitlines() if line.strip().startswith("x "))
    assert row == ["x", "input", "1.0", "4.0", "4.0", "1", "small"]
    assert "net for x86-64-v4-vnni, 2 threads, a CPU: 51.0 us (median of 3)" in table
    assert "plain algorithm" not in table


def test_winograd_rates_are_marked() -> None:
    table = shown(profile_table(profile(conv("body", "i16_vnni", "u8 i8", kind="winograd", saved=4.0))))
    assert "384*" in table
    assert "* of the plain algorithm" in table


def test_peaks() -> None:
    table = shown(peaks_table(2, {"u8_vnni u8": 468.31}, {"L2": 220.0, "DRAM": 31.0}, {"L2": 1_048_576}))
    for text in ("measured with 2 threads", "468.3 GMAC/s", "read L2 (1.0 MB)", "31.0 GB/s"):
        assert text in table


def test_wording() -> None:
    assert (time(999_949), time(1_234_567)) == ("999.9 us", "1.23 ms")
    assert (percent(0), percent(0.034), percent(0.0996), percent(0.456)) == ("0 %", "3.4 %", "10 %", "46 %")
    assert (size(12), size(1_500), size(2_340_000)) == ("12 bytes", "1.5 kB", "2.3 MB")
    assert (count(1, "layer"), count(2_000, "layer")) == ("1 layer", "2,000 layers")
    assert [verb([1], v) for v in ("run", "are", "have")] == ["runs", "is", "has"]
    assert verb([1, 2], "have") == "have"
    assert wrapped("one two three\n\n  four five six", 10) == "one two\nthree\n\n  four\n    five\n    six"
    assert listed(["a", "a", "b"]) == "a, b"
    assert listed([*"abcdefg"]) == "a, b, c, d, e and 2 more"
    assert listed([*"abcdef"]) == "a, b, c, d, e, f"
