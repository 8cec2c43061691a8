"""One file per family of operations, and the table that finds them."""
