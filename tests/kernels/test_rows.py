"""Every row of the table of kernels, on all its cases: the kernel equals its reference, integer for integer."""

from __future__ import annotations

import pytest

from lowbit.kernels.named import named
from lowbit.kernels.spec import KernelSpec, spec_from_json
from lowbit.kernels.table import KERNELS
from lowbit.targets import Target
from tests.kernels.distinct_targets import distinct_targets
from tests.kernels.harness import check_case, load_kernels, runnable_targets
from tests.share import share

# which convolutions there are depends on many features; of the other kernels the code does on vectors, and on these
FEATURES = {"depthwise": ("avx512vnni",), "pack_pairs": ("avx512vnni", "avx2", "avxvnni")}
RUNS = [
    pytest.param(kind, target, id=f"{kind}-{target.name}")
    for kind in KERNELS
    for target in (runnable_targets() if kind in ("conv2d", "winograd") else distinct_targets(*FEATURES.get(kind, ())))
]


@pytest.mark.parametrize("kind", KERNELS)
def test_a_row_is_whole(kind: str) -> None:
    row = KERNELS[kind]
    spec = named(row.spec)
    assert issubclass(spec, KernelSpec)
    assert spec.kind == kind
    assert all(callable(named(place)) for place in (row.build, row.reference, row.cases))
    assert any(any(True for _ in named(row.cases)(target)) for target in runnable_targets()), f"{kind} has no cases"


def test_every_kind_of_spec_has_a_row() -> None:
    for kind in KERNELS:
        named(KERNELS[kind].spec)
    own = [cls for cls in KernelSpec.__subclasses__() if cls.__module__.startswith("lowbit.")]  # tests have others
    assert {cls.kind for cls in own} == set(KERNELS)


@pytest.mark.parametrize(("kind", "target"), RUNS)
def test_cases(kind: str, target: Target) -> None:
    cases = list(named(KERNELS[kind].cases)(target))
    if not cases:
        pytest.skip(f"{target.name} has no {kind}")
    assert len({case.name for case in cases}) == len(cases)
    cases = share(cases, 3) if target.emulated else cases
    load_kernels([case.spec for case in cases], target)
    for case in cases:
        assert case.spec.kind == kind
        assert spec_from_json(case.spec.to_json()) == case.spec
        check_case(case, target)
