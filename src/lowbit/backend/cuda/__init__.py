"""NVIDIA's GPUs: specs to CUDA text, machine code by NVRTC, tables for the runtime over the driver, the open network."""
