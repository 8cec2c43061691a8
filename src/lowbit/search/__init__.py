"""Bits for every layer, found by trials on compiled networks."""
