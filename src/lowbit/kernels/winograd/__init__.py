"""3x3 convolutions in fewer multiplications: F(2x2, 3x3) and F(4x4, 3x3), exact for integers."""
