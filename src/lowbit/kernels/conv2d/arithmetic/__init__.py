"""What each form does in one step of the K loop (TensorIR).  Named by the forms, imported when a kernel is generated."""
