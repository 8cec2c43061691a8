"""Vector operations of TensorIR that have no operator: one file an instruction set."""
