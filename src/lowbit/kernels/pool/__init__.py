"""Pooling over explicit windows."""
