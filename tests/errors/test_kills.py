"""A few kills of a campaign (kills.py); 50 and more: ``python -m tests.errors.kills SEED KILLS``."""

from __future__ import annotations

from tests.errors.kills import ACTIONS, campaign


def test_killed_at_random_moments() -> None:
    counts = campaign(seed=7, kills=3)
    assert counts["kills"] == 3
    assert counts["while at it"] >= 1
    assert sum(counts.get(action, 0) for action in ACTIONS) == counts["rounds"] >= 2
