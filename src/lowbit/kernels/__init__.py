"""Kernels: what each computes (specs), how TensorIR expresses it (schedules), one table."""
