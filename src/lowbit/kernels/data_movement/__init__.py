"""Kernels that move and convert elements: user tensors in and out, copies, bit packing."""
