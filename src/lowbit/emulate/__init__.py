"""Running compiled networks on machines that are not here: QEMU, instruction counts, llvm-mca."""
