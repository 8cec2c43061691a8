"""Measuring how convolutions are best computed, and remembering it."""
