"""Costs fitted to trials whose factors are known."""

from __future__ import annotations

import gzip
import json
import math
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from benchmarks import fit_costs
from benchmarks.fit_costs import Sample, error, fit, held_out, read_trials, regret, samples_of, typed, write_costs
from benchmarks.problems_of_keys import problem_of, typical_weights

from lowbit.errors import ConfigError
from lowbit.kernels.conv2d.cases import Shape
from lowbit.kernels.conv2d.selection.candidates import candidates
from lowbit.kernels.conv2d.selection.decide import realize
from lowbit.kernels.conv2d.selection.decision import Key, key_of
from lowbit.kernels.conv2d.selection.select import estimate
from lowbit.numerics import QType
from lowbit.targets import TARGETS
from lowbit.targets.costs import read_costs
from lowbit.targets.host import Cpu
from lowbit.tuning.trial import Trial

TARGET = TARGETS["x86-64-v4-vnni-popcnt"]
TRUE = {("direct", "a"): 0.5, ("direct", "b"): 1.0, ("winograd2", "a"): 2.0, ("direct", "c"): 1.0}
CPU = Cpu("Genuine Vendor", 6, 1)


def made(noise: float = 0.05, problems: int = 40) -> list[Sample]:
    """Problems of one clock each, a few decisions of every kind, errors of both signs and some far ones."""
    rng = np.random.default_rng(0)
    found = []
    for problem in range(problems):
        clock = float(np.exp(rng.normal(0, 0.5)))
        for kind, factor in TRUE.items():
            for _ in range(3):
                cycles, far = float(rng.uniform(1, 2)), 5.0 if rng.random() < 0.1 else 1.0
                found.append(
                    Sample(str(problem), kind, cycles, clock * cycles * factor * far * float(np.exp(rng.normal(0, noise))))
                )
    return found


def test_factors_are_found_beside_clocks_and_outliers() -> None:
    assert fit(made()) == pytest.approx(TRUE, rel=0.05)
    assert fit(made(0.0)) == pytest.approx(TRUE, rel=1e-3)
    assert fit([]) == {}


def test_kinds_that_share_no_problem_are_compared_over_all_problems() -> None:
    apart = [replace(s, problem=s.problem + s.kind[1]) for s in made(0.01)]
    assert fit(apart)["direct", "c"] / fit(apart)["direct", "a"] == pytest.approx(2.0, rel=0.5)


def test_a_kind_that_was_hardly_measured_keeps_its_typed_cost() -> None:
    rare = Sample("0", ("direct", "rare"), 1.0, 1000.0)
    assert fit([*made(), *[rare] * (fit_costs.LEAST - 1)]) == fit(made())
    assert ("direct", "rare") in fit([*made(), *[rare] * fit_costs.LEAST])


def test_regret_is_what_the_choice_takes_longer_than_the_best() -> None:
    a, b = ("direct", "a"), ("direct", "b")
    samples = [Sample("p", a, 1.0, 30.0), Sample("p", b, 2.0, 20.0), Sample("q", a, 1.0, 10.0), Sample("q", b, 3.0, 20.0)]
    alone = Sample("r", a, 1.0, 1000.0)  # nothing to choose
    assert regret([*samples, alone], typed) == {"problems": 2, "mean": 1.25, "p90": 1.45, "total": round(40 / 30, 4)}
    assert regret(samples, lambda s: 2.5 if s.kind == a else 1.0)["mean"] == 1.0


def test_error_is_that_of_the_logarithm_beside_a_clock() -> None:
    samples = [Sample("p", ("direct", "a"), 1.0, 7.0 * value) for value in (1.0, 1.0, 1.0, math.e)]
    assert error(samples, typed) == {"median": 0.0, "p90": 0.7}


def test_held_out_factors_know_nothing_of_their_half() -> None:
    samples = made()
    factor = held_out(samples)
    one = samples[0]
    half = [s for s in samples if fit_costs._half(s) == fit_costs._half(one) and s.kind == one.kind]
    spoiled = [replace(s, measured=100 * s.measured) if s in half else s for s in samples]
    assert held_out(spoiled)(one) == factor(one)
    other = next(s for s in samples if fit_costs._half(s) != fit_costs._half(one) and s.kind == one.kind)
    assert held_out(spoiled)(other) != factor(other)


@pytest.mark.parametrize("shape", [
    Shape(32, 48, 6, 6, kernel=(3, 3), stride=(2, 1), padding=(1, 0, 1, 1), residual=True),
    Shape(64, 16, 5, 7, dilation=(2, 2), halo=(1, 1, 1, 1)), Shape(16, 16, groups=2),
])  # fmt: skip
def test_keys_tell_the_problem(shape: Shape) -> None:
    problem = shape.problem("u8", "i8", 255)
    text = key_of(problem, {}).problem
    assert replace(problem_of(text), layer="") == replace(problem, layer="")
    assert typical_weights(problem_of(text)).shape == shape.weight_shape


_STEPS = "max=1 shift=0 sign=0 k=1x1 s=1x1 d=1x1 p=0x0 g=1"


@pytest.mark.parametrize("text", ["", "conv2d u8xi8", "conv2d u8 max=1", f"conv2d u8xi8 {_STEPS} src=1x1 dst=1x1 res=none"])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="not the key of a problem"):
        problem_of(text)


@pytest.mark.parametrize("weight", ["i8", "i7", "i4", "i2", "b1", "f32"])
def test_typical_weights_reach_the_ends_of_their_range(weight: str) -> None:
    act = "f32" if weight == "f32" else "u8"
    problem = Shape(32, 16, 4, 4, kernel=(3, 3), dst=act).problem(act, weight, 255)
    values = typical_weights(problem)
    assert np.array_equal(values, typical_weights(problem))
    if weight == "f32":
        assert values.dtype == np.float32
    else:
        qtype = QType.parse(weight)
        assert (values.min(), values.max()) == (-1 if weight == "b1" else qtype.qmin, qtype.qmax)


def measured(factor: float = 3.0) -> list[Trial]:
    """Trials of a few problems on a machine that takes a nanosecond a cycle, ``factor`` for one form."""
    trials = []
    for shape in (Shape(c, n, 9, 9) for c in (48, 64, 128) for n in (64, 96)):
        problem = problem_of(key_of(shape.problem("u7", "i7", 127), {}).problem)
        weights = typical_weights(problem)
        for decision in candidates(problem, weights, TARGET, 20):
            choice = realize(decision, problem, weights, TARGET)
            assert choice is not None
            ns = estimate(choice, TARGET) * (factor if decision.form == "u8_vnni" else 1.0)
            trials.append(Trial(Key(problem.layer, "u8_vnni:1"), 1, decision, 0, ns, ns / 1000))
    return trials


def test_trials_become_a_file_that_can_be_read(tmp_path: Path) -> None:
    samples = samples_of(measured(), TARGET)
    path = write_costs(CPU, TARGET.name, {"said": "made up"}, samples, tmp_path)
    costs = read_costs(path.stem, tmp_path)
    assert (path.stem, costs.cpu, costs.target) == ("vendor-6-1", CPU, TARGET.name)
    slower = costs.factor("direct", "u8_vnni") / costs.factor("direct", "u8_vnni_pairs")
    assert slower == pytest.approx(3.0, rel=0.1)
    content = json.loads(path.read_text())
    assert content["fit"]["samples"] == len(samples) == sum(sum(c.values()) for c in content["samples_of"].values())
    assert content["fit"]["regret"]["fitted"]["total"] < content["fit"]["regret"]["typed"]["total"]
    assert content["source"] == {"said": "made up"}


def test_files_of_trials_old_and_new(tmp_path: Path) -> None:
    trial = measured()[0]
    old = trial.to_json()
    old["key"] = f"{old['key']} allows={old.pop('allows')}"
    first = {"lowbit_tuning": 1, "cpu": "c", "target": TARGET.name, "generator": "g"}
    text = "".join(json.dumps(line) + "\n" for line in (first, old, trial.to_json()))
    (tmp_path / "plain.jsonl").write_text(text)
    (tmp_path / "packed.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    assert read_trials(tmp_path / "plain.jsonl") == read_trials(tmp_path / "packed.jsonl.gz") == (first, [trial, trial])


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    first = {"lowbit_tuning": 1, "cpu": "c", "target": TARGET.name, "generator": "g"}
    path = tmp_path / "trials.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in (first, *(t.to_json() for t in measured()))))
    fit_costs.main([str(path), "--dry"])
    assert '"direct u8_vnni_pairs"' in capsys.readouterr().out
    fit_costs.main([str(path), "--network", "tests.tiny:network", "--configs", "fp32", "4/int4"])
    assert "tests.tiny:network 4/int4: typed 0.00 ms" in (said := capsys.readouterr().out)
    assert "(0 of 3 layers)" in said
    monkeypatch.setattr(fit_costs, "FOLDER", tmp_path)
    fit_costs.main([str(path), "--cpu", CPU.vendor, "6", "0x1", "--said", "a test"])
    content = json.loads((tmp_path / "vendor-6-1.json").read_text())
    assert content["cpu"] == asdict(CPU)
    assert (content["source"]["said"], content["source"]["measured_on"], content["source"]["trials"]) == (
        "a test",
        "c",
        len(measured()),
    )
    path.with_name("other").write_text(json.dumps({**first, "target": "x86-64"}) + "\n")
    with pytest.raises(ConfigError, match="trials of several targets: x86-64, x86-64-v4"):
        fit_costs.main([str(path), str(path.with_name("other"))])
