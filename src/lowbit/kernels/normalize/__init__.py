"""Normalisation by statistics of the values themselves: layer, group and instance norm, unit length."""
