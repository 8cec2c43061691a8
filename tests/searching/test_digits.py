"""A search that pays, on a network that is trained here: digits-cnn, without any data of the user's."""

from __future__ import annotations

import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed: pip install lowbit[data]")

from lowbit.searching.described import run_search
from lowbit.searching.settings import SearchSettings
from lowbit.searching.space import SearchSpace


def test_a_plan_beats_every_network_of_one_width() -> None:
    """As accurate as 8 bits less half a point: smaller than each network of one width that is as accurate."""
    settings = SearchSettings(
        "digits-cnn",
        space=SearchSpace("2,3,4,8", "4,8"),
        strategy="ilp",
        trials=24,
        constraints=("accuracy >= w8a8 - 0.5%",),
        objectives="accuracy,size",
        threads=1,
        uniform="all",
    )
    found = run_search(settings, progress=False, note=lambda _: None).to_json()
    limit = found["limits"][found["constraints"][0]]
    uniform = [row["metrics"]["size"] for row in found["uniform"] if row["metrics"]["accuracy"] >= limit]
    plans = [trial["metrics"]["size"] for trial in found["trials"] if trial["feasible"]]
    assert len(found["uniform"]) == 8
    assert uniform
    assert min(plans) < min(uniform)
