"""Elementwise kernels: two operands, one operand, look-up tables."""
