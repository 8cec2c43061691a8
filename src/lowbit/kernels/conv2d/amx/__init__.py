"""Convolutions on the tiles of a matrix unit: which pixels and channels a tile holds, and the kernels."""
