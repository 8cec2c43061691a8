"""Kernels of GPUs: the same specs, references and cases, as functions of a grid of threads."""
