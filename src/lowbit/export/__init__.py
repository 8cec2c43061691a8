"""Networks as files for others: libraries, static programs, and the parts they are linked from."""
