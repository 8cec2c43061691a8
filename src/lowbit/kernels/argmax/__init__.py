"""Positions of largest and smallest values."""
