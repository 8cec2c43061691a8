"""Choosing how a convolution is computed.  Nothing here is read when a kernel is generated."""
