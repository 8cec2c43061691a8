"""Digests of all that is generated for small networks: a change of any kernel, packing or program shows up in review.

``python -m benchmarks.replay --compare`` and ``--show`` tell what it is that changed.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from benchmarks import replay

from tests.golden.texts import compare, of_this_tvm


@of_this_tvm
@pytest.mark.parametrize("network", replay.QUICK.networks)
def test_digests(network: str, request: pytest.FixtureRequest) -> None:
    cells = replay.record(replace(replay.QUICK, networks=(network,)))
    compare(f"replay-{network}.txt", replay.digest_table(cells), request)
