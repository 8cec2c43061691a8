"""What an experiment may switch off is not used, and nothing else changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lowbit.errors import ConfigError
from lowbit.kernels.conv2d.forms import FORMS
from lowbit.kernels.conv2d.selection.decision import decision_of
from lowbit.kernels.conv2d.selection.problem import ConvProblem
from lowbit.kernels.conv2d.selection.select import choose, options
from lowbit.kernels.layout import Layout
from lowbit.targets import TARGETS, TECHNIQUES, Target, find_target, techniques
from tests import tiny

FULL = TARGETS["x86-64-v4-vnni-popcnt"]
SMALL = TARGETS["x86-64-v3"]
TILES = TARGETS["x86-64-v4-amx"]


def problem(act: str, weight: str, act_max: int, kernel: int, size: int = 28) -> ConvProblem:
    pad = kernel // 2
    src = Layout(1, size, size, 128, 128, "u8", pad, pad, pad, pad)
    dst = Layout(1, size, size, 128, 128, "u8")
    return ConvProblem(
        layer="conv",
        op="conv2d",
        src=src,
        dst=dst,
        kernel=(kernel, kernel),
        stride=(1, 1),
        dilation=(1, 1),
        padding=(pad, pad),
        groups=1,
        act=act,
        weight=weight,
        act_max=act_max,
        acc_shift=int(weight == "b1"),
    )


def chosen(wanted: ConvProblem, highest: int, target: Target) -> str:
    """Algorithm and form of random weights up to ``highest`` (1 bit: -1 and 1)."""
    rng, shape = np.random.default_rng(0), (128, *wanted.kernel, 128)
    one_bit = wanted.weight == "b1"
    weights = rng.choice([-1, 1], shape) if one_bit else rng.integers(-highest - 1, highest + 1, shape)
    decision = decision_of(choose(wanted, weights, target))
    return f"{decision.algorithm} {decision.form}"


CASES = {  # technique -> problem, largest weight, a target that has it
    "winograd": (problem("u8", "i8", 255, 3), 127, FULL),
    "look-up": (problem("u2", "i2", 3, 1), 1, FULL),
    "bits": (problem("u1", "b1", 1, 1), 1, FULL),
    "vnni": (problem("u8", "i8", 255, 1), 127, FULL),
    "amx": (problem("u8", "i8", 255, 1), 127, TILES),
}
NAMED = {"winograd": "winograd", "look-up": "lut_", "bits": "bit_", "vnni": "vnni", "pairs": "_pairs", "amx": "_amx"}


@pytest.mark.parametrize("technique", CASES)
def test_a_technique_is_used_until_it_is_switched_off(technique: str) -> None:
    wanted, highest, target = CASES[technique]
    without = replace(target, without=frozenset({technique}))
    assert NAMED[technique] in chosen(wanted, highest, target)
    assert NAMED[technique] not in chosen(wanted, highest, without)


@pytest.mark.parametrize("target", [FULL, SMALL, TILES], ids=lambda target: target.name)
@pytest.mark.parametrize("technique", TECHNIQUES)
def test_no_option_of_any_width_needs_what_is_off(technique: str, target: Target) -> None:
    less = replace(target, without=frozenset({technique}))
    used = []
    for act, weight, act_max, highest in (("u8", "i8", 255, 127), ("u4", "i4", 15, 7), ("u2", "i2", 3, 1), ("u1", "b1", 1, 1)):
        for kernel in (1, 3):
            weights = np.random.default_rng(1).integers(0, 2, (128, kernel, kernel, 128)) * (highest + 1) - highest
            asked = problem(act, weight, act_max, kernel)
            used += [str(decision_of(choice)) for choice in options(asked, weights, target)]
            assert not [d for c in options(asked, weights, less) if NAMED[technique] in (d := str(decision_of(c)))]
    if technique == "winograd" or any(technique in form.techniques and form.available(target) for form in FORMS.values()):
        assert any(NAMED[technique] in name for name in used)


def test_every_form_but_the_plain_ones_names_its_techniques() -> None:
    assert FORMS["u8_vnni_pairs"].techniques == {"vnni", "pairs"}
    assert FORMS["lut_permute"].techniques == {"look-up"}
    assert FORMS["bit_portable"].techniques == {"bits"}
    assert not FORMS["u8_maddubs"].techniques | FORMS["f32"].techniques
    assert frozenset().union(*(form.techniques for form in FORMS.values())) == set(TECHNIQUES) - {"winograd"}


def test_the_environment_switches_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOWBIT_WITHOUT", "winograd, pairs")
    assert find_target().without == {"winograd", "pairs"}
    monkeypatch.setenv("LOWBIT_WITHOUT", "")
    assert replace(find_target(), costs="") in TARGETS.values()
    monkeypatch.setenv("LOWBIT_WITHOUT", "speed")
    with pytest.raises(ConfigError, match="no technique speed; those that can be switched off: winograd, pairs"):
        find_target()
    assert techniques(",") == frozenset()


def test_kernels_are_cached_once_whatever_is_off() -> None:
    from lowbit.backend.cache import entry_path

    spec = choose(CASES["vnni"][0], np.ones((128, 1, 1, 128), np.int64), FULL).spec
    assert entry_path(spec, FULL) == entry_path(spec, replace(FULL, without=frozenset({"winograd"})))


@pytest.mark.parametrize("config", ["8/int8", "2/int2", "1/int1"])
def test_a_network_computes_the_same_without_any(config: str) -> None:
    import lowbit
    from lowbit.quantization import parse_config
    from lowbit.quantizer import quantized
    from lowbit.tracer import trace

    model, example = tiny.network()
    chosen_config = parse_config(config)
    assert chosen_config is not None
    graph = quantized(trace(model, example), chosen_config, [(example,)])
    native = find_target()
    outputs, kernels = [], []
    for off in (frozenset[str](), frozenset(TECHNIQUES)):
        network = lowbit.compile(graph, target=replace(native, without=off), tuning=False)
        outputs.append(network(example.numpy()))
        kernels.append([layer["kernel"] for layer in network.manifest["layers"]])
    np.testing.assert_array_equal(outputs[0], outputs[1])
    if native.features >= FULL.features:
        assert kernels[0] != kernels[1]
