"""Mixed precision: bits for every layer, found by trials on compiled networks."""

from __future__ import annotations

from lowbit.searching.api import search
from lowbit.searching.found import SearchResult
from lowbit.searching.space import Rule, SearchSpace

__all__ = ["Rule", "SearchResult", "SearchSpace", "search"]
