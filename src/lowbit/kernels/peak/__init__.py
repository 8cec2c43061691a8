"""Loops that show what the machine can do: the inner step of a form without its surroundings, and plain reading."""
