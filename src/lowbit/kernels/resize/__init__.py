"""Weighted sums of neighbouring rows and columns."""
