"""The whole benchmark on a small network."""

from __future__ import annotations

import pytest

from lowbit.bench import CHECKED_INPUTS, BenchPlan, oracle_inputs, run_bench
from lowbit.errors import ConfigError


def test_every_row_is_checked() -> None:
    told: list[str] = []
    plan = BenchPlan("tests.tiny:network", ("fp32", "8/int8", "2/int2"), threads=2, runs=2)
    report, networks = run_bench(plan, told.append)
    rows = {row.config: row for row in report.rows}
    assert list(networks) == list(rows) == ["fp32", "8/int8", "2/int2"]
    assert all(network.threads == 2 for network in networks.values())
    assert rows["fp32"].check.exact is None
    assert rows["fp32"].check.max_error < 1e-5
    assert rows["fp32"].check.cosine == pytest.approx(1)
    assert rows["8/int8"].check.exact
    assert rows["2/int2"].check.exact
    assert rows["2/int2"].check.cosine < rows["8/int8"].check.cosine
    assert rows["2/int2"].bytes < rows["8/int8"].bytes < rows["fp32"].bytes
    assert all(len(row.latency.samples_ms) == 2 for row in report.rows)
    assert any(text.startswith("8/int8: compiled in") for text in told)
    assert "random" in report.notes[0]


def test_a_dead_network_is_flagged() -> None:
    report, _ = run_bench(BenchPlan("tests.tiny:dead", ("fp32", "8/int8"), threads=1, runs=1))
    for row in report.rows:
        assert row.check.verdict.startswith("DEAD")


def test_batch() -> None:
    report, networks = run_bench(BenchPlan("tests.tiny:network", ("8/int8",), threads=1, runs=1, batch=3))
    assert networks["8/int8"].input_shapes == ((3, 3, 8, 8),)
    assert report.rows[0].check.exact
    assert report.rows[0].speedup is None


def test_oracle_inputs_fall_with_the_work() -> None:
    assert oracle_inputs(0) == oracle_inputs(1000) == CHECKED_INPUTS
    assert oracle_inputs(4_100_000_000) == 2
    assert 2 < oracle_inputs(800_000_000) < CHECKED_INPUTS


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"configs": ("fp32", "9/int9")}, "9"),
        ({"configs": ()}, "no configuration"),
        ({"configs": ("fp32", "fp32")}, "given twice"),
        ({"configs": ("fp32",), "threads": 0}, "threads must be at least 1, got 0"),
        ({"configs": ("fp32",), "batch": 0}, "batch must be at least 1"),
        ({"configs": ("fp32",), "target": "vax"}, "unknown target"),
        ({"configs": ("fp32",), "peers": ("x",)}, "unknown peer"),
    ],
)
def test_a_plan_that_cannot_finish_is_not_made(options: dict[str, object], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        BenchPlan(**{"network": "lenet5", "threads": 1, **options})  # type: ignore[arg-type]


def test_networks_of_several_inputs_are_refused() -> None:
    with pytest.raises(ConfigError, match="takes 2 inputs"):
        run_bench(BenchPlan("tests.tiny:two_inputs", ("fp32",), threads=1, runs=1))


@pytest.mark.peers
def test_peers_stand_in_the_same_list() -> None:
    plan = BenchPlan("tests.tiny:network", ("fp32", "8/int8"), threads=1, runs=2, peers=("onnxruntime",))
    report, _ = run_bench(plan)
    assert [row.config for row in report.rows] == ["fp32", "8/int8", "onnxruntime/fp32", "onnxruntime/int8"]
    peer = report.rows[2]
    assert peer.check.max_error < 1e-5
    assert peer.speedup is not None
    assert peer.check.dead_channels is None
