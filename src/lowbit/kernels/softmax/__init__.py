"""Softmax over channels."""
