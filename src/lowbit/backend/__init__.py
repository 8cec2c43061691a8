"""From a Program to machine code: kernels, the C runtime, the linked artifact."""
