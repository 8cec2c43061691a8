"""Ways to choose the next plan, one file a way of our own; those of Optuna in samplers.py."""

from __future__ import annotations

from lowbit.searching.strategies.strategy import Problem, Strategy
from lowbit.searching.strategies.table import STRATEGIES, find_strategy

__all__ = ["STRATEGIES", "Problem", "Strategy", "find_strategy"]
