"""Dense convolution and linear layers: direct, no im2col, epilogue in registers."""
