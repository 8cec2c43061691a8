"""Products of two matrices that are both computed by the network."""
