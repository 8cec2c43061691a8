"""CUDA kernels executed on a CPU: their very text, behind a header that stands for the GPU."""
