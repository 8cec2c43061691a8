"""The oracle's arithmetic, one file per family of operations; numpy only, nothing of the kernels."""
